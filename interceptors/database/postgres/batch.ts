import type { Connection, FieldDef, Submittable } from 'pg';
import { type Deadline, deadlines } from '../../timing/deadlines.js';
import type { Row, SqlValue } from '../database.js';
import type { Statement } from '../engine.js';
import { assertRow, type Columns, columnsOf, noColumns, rowOf } from './columns.js';
import { type BatchEnd, isOutdatedPlan, isUnknownStatement } from './errors.js';
import { MessageWriter } from './messages.js';
import { noteSchemaChange, type PreparedStatements } from './prepared-statements.js';

/**
 * Statements that travel together and end with one Sync. After the first error the server skips the rest of them, so
 * no statement takes effect behind a statement that failed.
 */
export interface Batch extends Submittable, BatchEnd {
  readonly hasEnded: boolean;
  /** Notes that `next` is sent while this batch waits for its answer. The limit of `next` starts at the end of this one. */
  precede(next: Batch): void;
  /** Starts the limit of the batch, or lets it start when the batch is sent. */
  startLimit(): void;
  /** Makes the limit start with `startLimit` instead of when the batch is sent. */
  delayLimit(): void;
}

/** Creates a batch. `done` is called once, when the batch has ended. It must not throw. */
export type BatchClass = new (
  statements: readonly Statement[],
  prepared: PreparedStatements,
  limitMs: number | undefined,
  done: (end: BatchEnd) => void,
) => Batch;

/** The class of the queries of pg. */
export type QueryClass = new (text: string) => object;

const classes = new WeakMap<QueryClass, BatchClass>();
const writer = new MessageWriter();

/**
 * Returns the class of the batches that a client of pg sends. A client in pipeline mode accepts only queries that
 * extend the query class of its own copy of pg.
 */
export function batchClassOf(Query: QueryClass): BatchClass {
  const known = classes.get(Query);
  if (known) return known;
  const created = createBatchClass(Query);
  classes.set(Query, created);
  return created;
}

/** pg calls the methods of a query: `submit` once, and a handler for each message of the server. */
function createBatchClass(Query: QueryClass): BatchClass {
  return class PreparedBatch extends Query implements Batch {
    readonly results: Row[][] = [];
    /** An instrumentation that writes comments into texts leaves only a query with a name unchanged. */
    readonly name = '';
    command = '';
    error: Error | undefined;
    isSent = false;
    isOutdated = false;
    readonly #statements: readonly Statement[];
    readonly #prepared: PreparedStatements;
    readonly #limitMs: number | undefined;
    readonly #done: (end: BatchEnd) => void;
    /** The columns of each statement. Undefined for a statement that this batch prepares and that is not described yet. */
    readonly #columns: (Columns | undefined)[] = [];
    /** The name under which this batch prepares the statement. Undefined for a statement that was prepared before. */
    readonly #prepares: (string | undefined)[] = [];
    #currentRows: Row[] = [];
    #limit: Deadline | undefined;
    #isLimitDelayed = false;
    #next: Batch | undefined;
    #stream: Connection['stream'] | undefined;
    hasEnded = false;

    constructor(
      statements: readonly Statement[],
      prepared: PreparedStatements,
      limitMs: number | undefined,
      done: (end: BatchEnd) => void,
    ) {
      super('');
      this.#statements = statements;
      this.#prepared = prepared;
      this.#limitMs = limitMs;
      this.#done = done;
    }

    /** The texts of the statements. Only instrumentations of pg read them. */
    get text(): string {
      return this.#statements.map(({ text }) => text).join('; ');
    }

    /** The class of pg sets the text that its constructor gets. */
    set text(_empty: string) {}

    /** Called at the end. If the client has a `query_timeout`, pg replaces this property, and calls it at the time-out. */
    callback = (error?: Error | null): void => {
      if (this.hasEnded) return;
      this.hasEnded = true;
      this.error ??= error ?? undefined;
      this.#limit?.cancel();
      this.#next?.startLimit();
      this.#done(this);
    };

    /** Sends the batch. Returns an error if nothing was sent. */
    submit({ stream }: Connection): Error | null {
      if (!stream.writable) return new Error('the connection to the database was lost');
      try {
        for (const name of this.#prepared.takeUnused()) writer.close(name);
        for (const statement of this.#statements) this.#write(statement);
      } catch (error) {
        writer.clear();
        return error as Error;
      }
      writer.sync();
      this.isSent = true;
      stream.write(writer.take());
      this.#stream = stream;
      if (!this.#isLimitDelayed) this.startLimit();
      return null;
    }

    precede(next: Batch): void {
      this.#next = next;
      next.delayLimit();
    }

    delayLimit(): void {
      this.#isLimitDelayed = true;
    }

    startLimit(): void {
      this.#isLimitDelayed = false;
      const [ms, stream] = [this.#limitMs, this.#stream];
      if (ms === undefined || !stream || this.hasEnded) return;
      this.#limit = deadlines.set(ms, () =>
        stream.destroy(new Error(`the database did not answer within ${ms} ms`)),
      );
    }

    #write({ text, params, result }: Statement): void {
      result?.clear();
      const prepared = this.#prepared.get(text);
      const toPrepare = prepared ? '' : this.#prepared.textFor(text);
      const name = prepared?.name ?? this.#prepared.nameFor(toPrepare);
      this.#columns.push(prepared?.columns);
      this.#prepares.push(prepared ? undefined : name);
      if (!prepared) writer.prepare(name, toPrepare);
      writer.bind(name, params as readonly SqlValue[]);
      if (!prepared) writer.describe();
      writer.execute();
    }

    handleRowDescription({ fields }: { fields: readonly FieldDef[] }): void {
      this.#columns[this.results.length] = columnsOf(fields);
    }

    handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
      if (this.error) return;
      const columns = this.#columns[this.results.length] ?? noColumns;
      const result = this.#statements[this.results.length]?.result;
      try {
        if (!result) this.#currentRows.push(rowOf(columns, fields));
        else {
          assertRow(columns, fields);
          result.values.push(fields);
        }
      } catch (error) {
        this.error = error as Error;
        this.#prepared.forgetAll();
      }
    }

    handleCommandComplete({ text }: { text: string }): void {
      const index = this.results.length;
      const name = this.#prepares[index];
      if (name !== undefined)
        this.#prepared.add(this.#text, { name, columns: this.#columns[index] ?? noColumns });
      const result = this.#statements[index]?.result;
      if (result) {
        result.columns = (this.#columns[index] ?? noColumns).described;
        result.command = text.split(' ', 1)[0] as string;
        result.affectedRows = affectedBy(text);
      }
      this.command = text;
      this.results.push(this.#currentRows);
      this.#currentRows = [];
    }

    /** A statement without text was executed. */
    handleEmptyQuery(): void {
      this.handleCommandComplete({ text: '' });
    }

    /** The server has dropped the Sync of the batch, because it waits for data. */
    handleCopyInResponse(connection: Connection & { sendCopyFail(reason: string): void }): void {
      connection.sendCopyFail('the database handle sends no data');
      connection.sync();
    }

    handleCopyData(): void {}

    /** Called with the error of the server, or when the connection is lost. */
    handleError(error: Error): void {
      const index = this.results.length;
      const name = this.#prepares[index];
      const wasPrepared = name === undefined && index < this.#prepares.length;
      if (wasPrepared && (isOutdatedPlan(error) || isUnknownStatement(error))) {
        this.isOutdated = true;
        this.#prepared.forgetAll();
        if (isOutdatedPlan(error)) noteSchemaChange();
      } else if (name !== undefined) this.#prepared.forget(this.#text, name);
      this.callback(error);
    }

    handleReadyForQuery(): void {
      this.callback(this.error);
    }

    /** The text of the statement that the server executes at present. */
    get #text(): string {
      return this.#statements[this.results.length]?.text ?? '';
    }
  };
}

/** Returns the number of rows that a command tag such as `INSERT 0 5` or `UPDATE 5` reports as written. */
function affectedBy(tag: string): number {
  const [, rows = 0] = /^(?:INSERT \d+|UPDATE|DELETE|MERGE) (\d+)$/.exec(tag) ?? [];
  return Number(rows);
}
