import type { PoolClient } from 'pg';
import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from '../errors.js';
import { isDisconnected, returnToPool, send } from './connection.js';
import { leavesCommitInDoubt, toDatabaseError } from './errors.js';

const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/**
 * The lock timeout of a statement with `hasShortLockWait`, in milliseconds. An execution near its end finishes within
 * this time. The duplicates of a longer execution must not occupy connections.
 */
const SHORT_LOCK_WAIT_MS = 25;

const control = /^(SAVEPOINT|RELEASE|ROLLBACK)\b/;

/** A transaction on a client of the pool. The client returns to the pool only in a clean state. */
export class PostgresSession implements Session {
  readonly #client: PoolClient;
  #hasShortLockWait = false;
  #hasEnded = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  /** Begins the transaction and runs `first`. Both statements are sent in one round trip. */
  async begin(first?: Statement): Promise<Row[]> {
    this.#hasShortLockWait = first?.hasShortLockWait ?? false;
    const withShortLockWait = `${begin}; SET LOCAL lock_timeout = ${SHORT_LOCK_WAIT_MS}`;
    const begun = this.#client.query(this.#hasShortLockWait ? withShortLockWait : begin);
    try {
      const [, rows] = await Promise.all([begun, first ? send(this.#client, first) : []]);
      return rows;
    } catch (error) {
      await this.rollback();
      throw toDatabaseError(error);
    }
  }

  async query(statement: Statement): Promise<Row[]> {
    if (this.#hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    try {
      if (control.test(statement.text)) return await this.#sendControl(statement.text);
      return await send(this.#client, statement);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async commit(last?: Statement): Promise<Row[]> {
    if (this.#hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    if (isDisconnected(this.#client)) {
      await this.rollback();
      throw new DatabaseUnavailableError('the connection was lost before the commit was sent');
    }
    this.#hasEnded = true;
    const [rows, commit] = await Promise.allSettled([
      last ? send(this.#client, last) : [],
      this.#client.query('COMMIT'),
    ]);
    returnToPool(this.#client, commit.status === 'rejected');
    if (commit.status === 'rejected') throw commitError(commit.reason);
    if (rows.status === 'rejected') throw toDatabaseError(rows.reason);
    // After a failed statement COMMIT succeeds, but Postgres rolls back and reports ROLLBACK.
    if (commit.value.command !== 'COMMIT') throw new UnitOfWorkError('the transaction was rolled back');
    return rows.value;
  }

  async rollback(): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    try {
      await this.#client.query('ROLLBACK');
      returnToPool(this.#client, false);
    } catch {
      returnToPool(this.#client, true);
    }
  }

  /**
   * Sends a transaction control statement without preparing it, which needs one message instead of five. The first
   * control statement also restores the lock timeout of the pool.
   */
  async #sendControl(text: string): Promise<Row[]> {
    const restore = this.#hasShortLockWait ? 'SET LOCAL lock_timeout TO DEFAULT; ' : '';
    this.#hasShortLockWait = false;
    await this.#client.query(`${restore}${text}`);
    return [];
  }
}

function commitError(error: unknown): Error {
  return leavesCommitInDoubt(error)
    ? new CommitInDoubtError('the commit was sent and its answer was lost', { cause: error })
    : toDatabaseError(error);
}
