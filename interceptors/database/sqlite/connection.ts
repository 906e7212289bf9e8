import { setTimeout as delay } from 'node:timers/promises';
import type { Database as Handle, Statement as Prepared } from 'better-sqlite3';
import type { Clock } from '../../timing/clock.js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { Row, SqlColumn, SqlValue } from '../database.js';
import { currentTime, type Statement } from '../engine.js';
import { LockTimeoutError } from '../errors.js';
import { toDatabaseError } from './errors.js';

/** How long SQLite itself waits for another process, in milliseconds. During this wait the event loop is blocked. */
export const BLOCKING_WAIT_MS = 5;

const LOCK_RETRY_MS = 15;

/** A prepared statement, and the position in the parameters of each value that it binds. */
interface PreparedStatement {
  readonly prepared: Prepared;
  readonly positions: readonly number[];
  readonly returnsRows: boolean;
  /** The names of the columns, if the statement returns its rows as lists of values. */
  readonly names: readonly string[] | undefined;
  readonly onlyReads: boolean;
}

/** The clocks of a connection. Both return milliseconds since the epoch. */
export interface ConnectionClocks {
  /** The time of `currentTime`, and of `replay_guard_now()` in SQL. */
  readonly now: Clock;
  /** The time of `retentionTime`, and of `replay_guard_retention_now()` in SQL. */
  readonly retention: Clock;
}

/** One SQLite connection. It prepares each statement once, and converts values and errors to the common form. */
export class Connection {
  readonly #handle: Handle;
  readonly #clocks: ConnectionClocks;
  readonly #statements = new Map<string, PreparedStatement>();
  /** The times of the current statement. Undefined until the statement asks for them. */
  #now: bigint | undefined;
  #retentionNow: bigint | undefined;

  constructor(handle: Handle, clocks: ConnectionClocks) {
    this.#handle = handle;
    this.#clocks = clocks;
    // The time is the same throughout a statement, as with statement_timestamp() of Postgres.
    handle.function('replay_guard_now', () => this.#time());
    handle.function('replay_guard_retention_now', () => this.#retentionTime());
  }

  /** Runs one statement and returns its rows. */
  run({ text, params }: Statement): Row[] {
    try {
      const { prepared, positions, returnsRows, names } = this.#statement(text);
      this.#now = undefined;
      this.#retentionNow = undefined;
      const values = [];
      for (const position of positions) values.push(this.#valueOf(params[position]));
      if (returnsRows) {
        const rows = prepared.all(...values);
        return names ? (rows as SqlColumn[][]).map((row) => named(names, row)) : (rows as Row[]);
      }
      prepared.run(...values);
      return [];
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** The time of the current statement. A bound time costs less than a call of `replay_guard_now()` in SQL. */
  #time(): bigint {
    this.#now ??= BigInt(Math.trunc(this.#clocks.now()));
    return this.#now;
  }

  #retentionTime(): bigint {
    this.#retentionNow ??= BigInt(Math.trunc(this.#clocks.retention()));
    return this.#retentionNow;
  }

  #valueOf(param: Statement['params'][number] | undefined): SqlValue | undefined {
    if (typeof param !== 'symbol') return toSqlite(param);
    return param === currentTime ? this.#time() : this.#retentionTime();
  }

  /** Runs statements that control transactions, separated by `; `. */
  control(text: string): void {
    if (!text.includes(';')) this.run({ text, params: [] });
    else for (const each of text.split('; ')) this.run({ text: each, params: [] });
  }

  /**
   * Whether the statement runs on this connection and only reads. Transaction control counts as writing. The run of a
   * statement that is not valid reports why.
   */
  onlyReads(text: string): boolean {
    try {
      return this.#statement(text).onlyReads;
    } catch {
      return false;
    }
  }

  /** Whether a transaction is open on the connection. */
  get inTransaction(): boolean {
    return this.#handle.inTransaction;
  }

  close(): void {
    this.#handle.close();
  }

  #statement(text: string): PreparedStatement {
    return this.#statements.get(text) ?? this.#prepare(text);
  }

  #prepare(text: string): PreparedStatement {
    const { sql, positions } = byPosition(text);
    const prepared = this.#handle.prepare(sql).safeIntegers(true);
    const returnsRows = prepared.reader;
    const statement = {
      prepared,
      positions,
      returnsRows,
      names: returnsRows ? fixedNames(text, prepared) : undefined,
      onlyReads: prepared.readonly && returnsRows,
    };
    this.#statements.set(text, statement);
    return statement;
  }
}

/**
 * Makes a statement return each row as a list of values. Returns the names of the columns, or undefined if the statement
 * returns objects. To make objects, better-sqlite3 reads the names again for each row, which costs more than the values.
 * A statement with `*` returns objects, because its columns can change with the schema.
 */
function fixedNames(text: string, prepared: Prepared): readonly string[] | undefined {
  if (text.includes('*')) return undefined;
  prepared.raw(true);
  return prepared.columns().map(({ name }) => name);
}

function named(names: readonly string[], values: readonly SqlColumn[]): Row {
  const row: Row = {};
  for (let index = 0; index < names.length; index++) row[names[index] as string] = values[index] as SqlColumn;
  return row;
}

/** The parts of a SQL text in which `$1` is not a parameter: texts, quoted names, comments. */
const quotedOrParameter = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$(\d+)/g;

/** Replaces `$1` by `?`. SQLite would treat `$1` as a named parameter, and a look-up by name is slow. */
function byPosition(text: string): { readonly sql: string; readonly positions: readonly number[] } {
  const positions: number[] = [];
  const sql = text.replace(quotedOrParameter, (part: string, number: string | undefined) => {
    if (number === undefined) return part;
    positions.push(Number(number) - 1);
    return '?';
  });
  return { sql, positions };
}

/** A whole number is bound as an integer, not as a double. */
function toSqlite(value: SqlValue | undefined): SqlValue | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
}

/**
 * Runs `attempt`, and repeats it while another process holds the file. The event loop is free between two attempts.
 * The result of a first attempt that succeeds is there at once.
 * @throws LockTimeoutError when another process still holds the file after `limitMs`
 */
export function retryWhileLocked<T>(limitMs: number, attempt: () => T): MaybePromise<T> {
  try {
    return attempt();
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error;
    return retryUntil(performance.now() + limitMs, attempt);
  }
}

async function retryUntil<T>(until: number, attempt: () => T): Promise<T> {
  for (;;) {
    await delay(LOCK_RETRY_MS);
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof LockTimeoutError) || performance.now() >= until) throw error;
    }
  }
}
