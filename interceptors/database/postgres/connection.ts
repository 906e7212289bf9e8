import type { Pool, PoolClient } from 'pg';
import { outsideOfCalls } from '../../context/copies.js';
import { MAX_TIMER_MS } from '../../options/whole-number.js';
import type { Statement } from '../engine.js';
import { DatabaseUnavailableError, NoConnectionError } from '../errors.js';
import { type DatabaseLoad, Waits } from '../load.js';
import { type Batch, type BatchClass, batchClassOf, type QueryClass } from './batch.js';
import { type BatchEnd, endsReplicationWait, isConnectionFailure, isReadOnlyViolation } from './errors.js';
import { PoolUse, type Waiter } from './pool-use.js';
import { PreparedStatements } from './prepared-statements.js';
import type { Failover } from './servers/failover.js';
import { differs, type SessionSettings } from './session-settings.js';
import type { Tables } from './tables.js';

const begin: Statement = { text: 'BEGIN ISOLATION LEVEL READ COMMITTED', params: [] };
/** A transaction that the engine itself has begun as read-only. A server that accepts writes refuses them there. */
const readOnly = /^BEGIN .* READ ONLY$/;
const rollback: Statement = { text: 'ROLLBACK', params: [] };

/** What the connections of a pool have in common. */
export interface ConnectionOptions {
  /** The tables of the library, whose schemas the statements name. */
  readonly tables: Tables;
  /** How a transaction gets its settings. */
  readonly settings: SessionSettings;
  /** How long a batch may wait for its answer before its connection is closed. Default: no limit. */
  readonly answerLimitMs: number | undefined;
  /** Whether the server keeps the prepared statements of the connection. A pooler may give each transaction another session. */
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
   * The process of the session, as Postgres or a pooler reported it when the connection was opened. Undefined for a client that
   * stands for a client of pg.
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

/** The connections of a pool of pg. */
export class Connections {
  /** The waits of users for a connection. */
  readonly waits = new Waits();
  readonly #pool: Pool;
  readonly #options: ConnectionOptions;
  readonly #maxConnections: number;
  readonly #use: PoolUse<PoolClient>;
  readonly #byClient = new WeakMap<PoolClient, Connection>();
  readonly #failover: Failover | undefined;
  /** How often a host has become read-only. Connections that were opened before probably lead to a former primary. */
  #demotions = 0;

  /** @param failover chooses the host of each connection of the pool. Default: the pool has one host */
  constructor(pool: Pool, options: ConnectionOptions, failover?: Failover) {
    this.#pool = pool;
    this.#failover = failover;
    this.#options = options;
    // An object that stands for a pool may have no options.
    this.#maxConnections = (pool as Partial<Pool>).options?.max ?? Number.POSITIVE_INFINITY;
    this.#use = new PoolUse(this.#maxConnections);
  }

  /** Returns the state of the pool. */
  load(): Required<Omit<DatabaseLoad, 'engine'>> {
    // An object that stands for a pool may have no counts.
    const { idleCount: idle = 0, totalCount = 0 } = this.#pool as Partial<Pool>;
    return {
      waiting: this.#use.waiting,
      connections: { idle, inUse: totalCount - idle, max: this.#maxConnections },
    };
  }

  /**
   * Checks a connection out of the pool for `use`, which resolves or rejects the returned promise.
   * @throws NoConnectionError when other work of this process holds every connection for too long
   * @throws DatabaseUnavailableError when the database accepts no connection in time
   * @throws TypeError when the pool has clients of pg-native
   */
  use<T>(
    use: (connection: Connection, resolve: (result: T) => void, reject: (error: Error) => void) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const { answers, losses } = this.#use;
      const since = this.#pool.idleCount <= this.#use.waiting ? performance.now() : undefined;
      const waiter: Waiter<PoolClient> = {
        use: (client) => {
          if (since !== undefined) this.waits.ended(since);
          const connection = this.#connectionOf(client).checkedOut();
          const isFormer = connection.openedAt < this.#demotions;
          // In a transaction of the application, the statements of this user would commit with it, or never.
          if (!isFormer && !connection.isInTransaction) return use(connection, resolve, reject);
          connection.release(true);
          this.use(use).then(resolve, reject);
        },
        fail: (cause) => {
          if (since !== undefined) this.waits.ended(since);
          const text = `no connection to the database: ${cause.message}`;
          const isBusy = cause instanceof NoConnectionError || this.#use.isBusySince(answers, losses);
          reject(new (isBusy ? NoConnectionError : DatabaseUnavailableError)(text, { cause }));
        },
        refuse: reject,
      };
      // A connection outlives the call that opens it.
      outsideOfCalls(() => this.#checkOut(waiter));
    });
  }

  /** Whether a user may wait for a second connection while it holds one. */
  get hasSeveral(): boolean {
    return this.#maxConnections > 1;
  }

  #checkOut(waiter: Waiter<PoolClient>): void {
    const { idleCount, totalCount } = this.#pool;
    // The pool also counts connections that are being opened.
    this.#use.add(waiter, idleCount === 0 && totalCount >= this.#maxConnections);
    this.#connect(this.#failover?.count ?? 1);
  }

  /** @param tries the number of hosts that may still be tried */
  #connect(tries: number): void {
    try {
      this.#pool.connect((error, client) => {
        if (!client) {
          if (tries > 1 && this.#failover?.mayTryNext(error)) return this.#connect(tries - 1);
          const cause = error ?? new Error('the pool is closed');
          this.#use.nextWithout()?.fail(this.#failover?.summary(cause) ?? cause);
        } else if (!('connection' in client)) {
          (client as PoolClient).release();
          const text = 'the pool must have JavaScript clients of pg, not clients of pg-native';
          this.#use.next()?.refuse(new TypeError(text));
        } else {
          const next = this.#use.next();
          if (next) next.use(client);
          else client.release();
        }
      });
    } catch (error) {
      this.#use.nextWithout()?.fail(error as Error);
    }
  }

  #connectionOf(client: PoolClient): Connection {
    const known = this.#byClient.get(client);
    if (known) return known;
    const at = this.#demotions;
    const created = new Connection(client, this.#use, this.#options, at, () => {
      // Other connections of the same time have reported the same change.
      if (at === this.#demotions) this.#demotions++;
    });
    this.#byClient.set(client, created);
    return created;
  }
}

function ignore(): void {}
