import { AsyncResource } from 'node:async_hooks';
import type { Pool, PoolClient } from 'pg';
import { outsideOfCalls } from '../../../context/copies.js';
import { DatabaseUnavailableError, NoConnectionError } from '../../errors.js';
import { type DatabaseLoad, Waits } from '../../load.js';
import { Connection, type ConnectionOptions } from '../connection.js';
import type { Failover } from '../servers/failover.js';
import { PoolUse, type Waiter } from './pool-use.js';

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
    // The application may use an object without options in place of a pool.
    this.#maxConnections = (pool as Partial<Pool>).options?.max ?? Number.POSITIVE_INFINITY;
    this.#use = new PoolUse(this.#maxConnections);
  }

  /** Returns the state of the pool. */
  load(): Required<Omit<DatabaseLoad, 'engine'>> {
    // The application may use an object without counts in place of a pool.
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
      // The pool gives a free connection in the context of the user that has released it.
      const caller = new AsyncResource('replay-guard-connection');
      const { answers, losses } = this.#use;
      const since = this.#pool.idleCount <= this.#use.waiting ? performance.now() : undefined;
      const waiter: Waiter<PoolClient> = {
        use: (client) => {
          if (since !== undefined) this.waits.ended(since);
          const connection = this.#connectionOf(client).checkedOut();
          const isEarlier = connection.openedAt < this.#demotions;
          // In a transaction of the application, the statements of this user would commit with it, or never.
          if (!isEarlier && !connection.isInTransaction) {
            caller.runInAsyncScope(use, undefined, connection, resolve, reject);
            return;
          }
          connection.release(true);
          caller.runInAsyncScope(() => this.use(use).then(resolve, reject));
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
