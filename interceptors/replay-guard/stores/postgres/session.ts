import type { PoolClient } from 'pg';
import { CommitInDoubtError, UnitOfWorkError } from '../errors.js';
import type { Row } from '../sql/database.js';
import type { Session, Statement } from '../sql/engine.js';
import { giveBack } from './checkout.js';
import { leavesCommitInDoubt, toDatabaseError } from './errors.js';
import { send } from './query.js';

/** A transaction on a client that is checked out of the pool, and goes back only when it is clean. */
export class PostgresSession implements Session {
  readonly #client: PoolClient;
  #ended = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  /** Not to be awaited before `first` is sent: the two travel together. */
  async begin(first?: Statement): Promise<Row[]> {
    const begun = this.#client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
    try {
      const [, rows] = await Promise.all([begun, first ? send(this.#client, first) : []]);
      return rows;
    } catch (error) {
      await this.rollback();
      throw toDatabaseError(error);
    }
  }

  async query(statement: Statement): Promise<Row[]> {
    if (this.#ended) throw new UnitOfWorkError('this unit of work has already ended');
    try {
      return await send(this.#client, statement);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async commit(last?: Statement): Promise<Row[]> {
    if (this.#ended) throw new UnitOfWorkError('this unit of work has already ended');
    this.#ended = true;
    const [rows, commit] = await Promise.allSettled([
      last ? send(this.#client, last) : [],
      this.#client.query('COMMIT'),
    ]);
    giveBack(this.#client, commit.status === 'rejected');
    if (commit.status === 'rejected') throw commitError(commit.reason);
    if (rows.status === 'rejected') throw toDatabaseError(rows.reason);
    // COMMIT of a transaction in which a statement failed succeeds, as a ROLLBACK.
    if (commit.value.command !== 'COMMIT') throw new UnitOfWorkError('the transaction was rolled back');
    return rows.value;
  }

  async rollback(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      await this.#client.query('ROLLBACK');
      giveBack(this.#client, false);
    } catch {
      giveBack(this.#client, true);
    }
  }
}

function commitError(error: unknown): Error {
  return leavesCommitInDoubt(error)
    ? new CommitInDoubtError('the commit was sent and its answer lost', { cause: error })
    : toDatabaseError(error);
}
