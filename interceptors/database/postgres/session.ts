import type { PoolClient } from 'pg';
import type { Row } from '../database.js';
import type { Attempt, Session, Statement } from '../engine.js';
import {
  CommitInDoubtError,
  DatabaseUnavailableError,
  LockTimeoutError,
  UnitOfWorkError,
} from '../errors.js';
import { isDisconnected, returnToPool, send } from './connection.js';
import { leavesCommitInDoubt, toDatabaseError } from './errors.js';

const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/**
 * The lock timeout of an attempted statement, in milliseconds. An execution near its end finishes within
 * this time. The duplicates of a longer execution must not occupy connections.
 */
const SHORT_LOCK_WAIT_MS = 25;

const restoreLockWait = 'SET LOCAL lock_timeout TO DEFAULT';
const control = /^(SAVEPOINT|RELEASE|ROLLBACK)\b/;

/** Begins a transaction in which statements wait only briefly for a locked row. */
export const beginWithShortLockWait = `${begin}; SET LOCAL lock_timeout = ${SHORT_LOCK_WAIT_MS}`;

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
    const begun = this.#client.query(begin);
    try {
      const [, rows] = await Promise.all([begun, first ? send(this.#client, first) : []]);
      return rows;
    } catch (error) {
      await this.rollback();
      throw toDatabaseError(error);
    }
  }

  /** Begins the transaction with a statement that waits only briefly for a locked row. See `DatabaseEngine.attempt`. */
  async attempt(first: Statement, instead: Statement): Promise<Attempt> {
    this.#hasShortLockWait = true;
    const begun = this.#client.query(beginWithShortLockWait);
    let rows: Row[];
    try {
      [, rows] = await Promise.all([begun, send(this.#client, first)]);
    } catch (error) {
      const failure = toDatabaseError(error);
      if (failure instanceof LockTimeoutError) return this.#endLockedWith(instead);
      await this.rollback();
      throw failure;
    }
    return rows.length > 0 ? { session: this, rows } : this.#endWith(instead);
  }

  /** Runs `instead` and rolls back. The rows do not wait for the end of the empty transaction. */
  async #endWith(instead: Statement): Promise<Attempt> {
    const found = send(this.#client, instead);
    void this.rollback();
    try {
      return { instead: await found, isLocked: false };
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** Rolls back and then runs `instead`, because the failed transaction accepts no statement. */
  async #endLockedWith(instead: Statement): Promise<Attempt> {
    this.#hasEnded = true;
    const [ended, found] = await Promise.allSettled([
      this.#client.query('ROLLBACK'),
      send(this.#client, instead),
    ]);
    returnToPool(this.#client, ended.status === 'rejected');
    if (found.status === 'rejected') throw toDatabaseError(found.reason);
    return { instead: found.value, isLocked: true };
  }

  async query(statement: Statement): Promise<Row[]> {
    if (this.#hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    try {
      if (control.test(statement.text)) return await this.#sendControl(statement.text);
      if (this.#hasShortLockWait) this.#restoreLockWait();
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
   * Sends a transaction control statement without preparing it, which needs one message instead of five. If it is the
   * first statement, it also restores the lock timeout of the pool.
   */
  async #sendControl(text: string): Promise<Row[]> {
    const restore = this.#hasShortLockWait ? `${restoreLockWait}; ` : '';
    this.#hasShortLockWait = false;
    await this.#client.query(`${restore}${text}`);
    return [];
  }

  /** Restores the lock timeout of the pool. If this fails, the statement that follows it fails too. */
  #restoreLockWait(): void {
    this.#hasShortLockWait = false;
    this.#client.query(restoreLockWait).catch(() => {});
  }
}

function commitError(error: unknown): Error {
  return leavesCommitInDoubt(error)
    ? new CommitInDoubtError('the commit was sent and its answer was lost', { cause: error })
    : toDatabaseError(error);
}
