import type { PoolClient } from 'pg';
import { MAX_TIMER_MS } from '../../options/whole-number.js';
import type { Statement } from '../engine.js';
import { type Batch, type BatchClass, batchClassOf, type QueryClass } from './batch.js';
import { type BatchEnd, endsReplicationWait, isConnectionFailure, isReadOnlyViolation } from './errors.js';
import type { PoolUse } from './pool/pool-use.js';
import { PreparedStatements } from './prepared-statements.js';
import { differs, type SessionSettings } from './session-settings.js';
import type { Tables } from './tables.js';

const begin: Statement = { text: 'BEGIN ISOLATION LEVEL READ COMMITTED', params: [] };
/** A transaction that the engine itself has begun as read-only. A server that accepts writes refuses them there. */
const readOnly = /^BEGIN .* READ ONLY$/;
const rollback: Statement = { text: 'ROLLBACK', params: [] };

/** The settings that all connections of a pool share. */
export interface ConnectionOptions {
  /** The tables of the library, whose schemas the statements name. */
  readonly tables: Tables;
  /** How a transaction gets its settings. */
  readonly settings: SessionSettings;
  /** How long a batch may wait for its answer before its connection is closed. Default: no limit. */
  readonly answerLimitMs: number | undefined;
  /**
   * Whether the server keeps the prepared statements of the connection. A pooler may give each transaction another
   * session.
   */
  readonly keepsStatements: boolean;
}

/** A client of the pool. Between `checkOut` and `release` it belongs to one user. */
export class Connection {
  readonly #client: PoolClient;
  readonly #answerLimitMs: number | undefined;
  readonly #settings: SessionSettings;
  readonly #onReadOnly: () => void;
  /** How often a host of the pool had become read-only when the connection was opened. */
  readonly openedAt: number;
  readonly #use: PoolUse<PoolClient>;
  readonly #Batch: BatchClass;
  readonly #prepared: PreparedStatements;
  /** Whether a transaction must set the settings of its session. True until the session has reported its own settings. */
  #needsSettings = true;
  #hasUnconfirmedCommit = false;
  #hasLimit = true;
  #isReadOnly = false;
  /** The batch that was sent last. */
  #last: Batch | undefined;

  /** @param onReadOnly called when the connection is closed because its server has refused a write */
  constructor(
    client: PoolClient,
    use: PoolUse<PoolClient>,
    options: ConnectionOptions,
    openedAt: number,
    onReadOnly: () => void,
  ) {
    this.openedAt = openedAt;
    this.#onReadOnly = onReadOnly;
    this.#client = client;
    this.#prepared = new PreparedStatements(options.tables, options.keepsStatements);
    this.#answerLimitMs = options.answerLimitMs;
    this.#settings = options.settings;
    this.#use = use;
    this.#Batch = batchClassOf((client.constructor as unknown as { readonly Query: QueryClass }).Query);
    client.on('notice', (notice) => {
      if (endsReplicationWait(notice)) this.#hasUnconfirmedCommit = true;
    });
  }

  /** Whether a commit ended its wait for the synchronous standby early. Reading resets the value. */
  takeUnconfirmedCommit(): boolean {
    const isUnconfirmed = this.#hasUnconfirmedCommit;
    this.#hasUnconfirmedCommit = false;
    return isUnconfirmed;
  }

  /** Sends a batch, also while the answer to another one is awaited. `done` must not throw. */
  send(statements: readonly Statement[], done: (end: BatchEnd) => void): void {
    const limitMs = this.#hasLimit ? this.#answerLimitMs : undefined;
    this.#use.sent();
    const batch = new this.#Batch(statements, this.#prepared, limitMs, (end) => {
      this.#use.ended(!isConnectionFailure(end));
      if (isReadOnlyViolation(end) && !readOnly.test(statements[0]?.text ?? '')) this.#isReadOnly = true;
      done(end);
    });
    if (this.#last && !this.#last.hasEnded) this.#last.precede(batch);
    this.#last = batch;
    // A pool of the application may have a `query_timeout`, which a query can change and not remove.
    this.#client.query(this.#hasLimit ? batch : Object.assign(batch, { query_timeout: MAX_TIMER_MS }));
  }

  /**
   * The process of the session, as Postgres or a pooler reported it when the connection was opened. Undefined for a
   * client that the application uses in place of a client of pg.
   */
  get reportedProcess(): number | undefined {
    const { processID } = this.#client as { processID?: unknown };
    return typeof processID === 'number' ? processID : undefined;
  }

  /** The statement time-out in milliseconds that the client has asked for when it connected. Undefined without one. */
  get sentTimeoutMs(): number | undefined {
    const { connectionParameters } = this.#client as {
      connectionParameters?: { readonly statement_timeout?: unknown };
    };
    return Number(connectionParameters?.statement_timeout) || undefined;
  }

  /** Sets the lock timeout of a transaction that had a shorter one. */
  get restoreLockWait(): Statement {
    return this.#settings.restoreLockWait;
  }

  /** Removes the limit on the wait for an answer, until the connection is released. */
  waitWithoutLimit(): void {
    this.#hasLimit = false;
  }

  /** Sends a batch that begins a transaction: BEGIN, then `statements`. */
  begin(statements: readonly Statement[], done: (end: BatchEnd) => void): void {
    // A server that has dropped the prepared statements does not know BEGIN, and this batch can be sent again. Without
    // BEGIN among them, a dropped statement would show later, where the transaction cannot be repeated.
    if (!this.#prepared.get(begin.text)) this.#prepared.forgetAll();
    this.sendRepeatable([begin, ...statements], done, 1);
  }

  /**
   * Sends a batch that has no effect if it fails. If a prepared statement is outdated, the batch is sent again with its
   * statements prepared anew.
   * @param settingsAt the position at which the transaction sets the settings of its session. It is 0 for a statement that
   *   runs on its own, and 1 behind BEGIN. Default: the batch runs in a transaction that was begun before
   */
  sendRepeatable(statements: readonly Statement[], done: (end: BatchEnd) => void, settingsAt?: number): void {
    this.#sendWithSettings(statements, settingsAt, (end) => {
      if (!end.isOutdated) return done(end);
      this.send([rollback], () => this.#sendWithSettings(statements, settingsAt, done));
    });
  }

  /** Sends a batch that sets the settings of its session, if they must be set. `done` does not see their statement. */
  #sendWithSettings(
    statements: readonly Statement[],
    at: number | undefined,
    done: (end: BatchEnd) => void,
  ): void {
    if (at === undefined || !this.#needsSettings) {
      this.send(statements, done);
      return;
    }
    this.send(statements.toSpliced(at, 0, this.#settings.set), (end) => {
      const [rows] = end.results.splice(at, 1);
      if (rows) this.#needsSettings = differs(rows);
      done(end);
    });
  }

  /** Rolls the transaction back, if there is one, and returns the connection to the pool. */
  rollBack(done: () => void): void {
    this.send([rollback], ({ error }) => {
      this.release(error !== undefined);
      done();
    });
  }

  /**
   * Closes the connection, so that no statement behind a failed one takes effect. The waiting batches end with an error.
   */
  close(): void {
    this.#client.connection.stream.destroy();
  }

  /** @param destroy whether to close the connection; must be true if its state is not known */
  release(destroy = false): void {
    this.#use.released();
    this.#client.removeListener('error', ignore);
    this.#client.release(destroy || this.#isReadOnly);
    if (this.#isReadOnly) this.#onReadOnly();
  }

  /** Called by the pool. */
  checkedOut(): this {
    this.#use.checkedOut();
    // An earlier user may have ended with a commit whose outcome was of no importance.
    this.#hasUnconfirmedCommit = false;
    this.#hasLimit = true;
    // The pool listens only to idle clients. Without a listener, a lost connection would end the process.
    this.#client.on('error', ignore);
    // The notice may belong to a commit of the application.
    this.#hasUnconfirmedCommit = false;
    return this;
  }

  /** Whether the user before has left a transaction open. */
  get isInTransaction(): boolean {
    // The status of a new connection is null.
    const status = this.#client.getTransactionStatus();
    return status === 'T' || status === 'E';
  }
}

function ignore(): void {}
