import type { PoolClient } from 'pg';
import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from '../errors.js';
import { giveBack, isSevered } from './checkout.js';
import { leavesCommitInDoubt, toDatabaseError } from './errors.js';
import { controls, send } from './query.js';

const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/**
 * Who is impatient waits this long for a row, in milliseconds: enough for an execution that is about to end,
 * and no connection is held for one that takes its time.
 */
const IMPATIENT_WAIT_MS = 25;

/** A transaction on a client that is checked out of the pool, and goes back only when it is clean. */
export class PostgresSession implements Session {
  readonly #client: PoolClient;
  #impatient = false;
  #ended = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  /** Not to be awaited before `first` is sent: the two travel together. */
  async begin(first?: Statement): Promise<Row[]> {
    this.#impatient = first?.impatient ?? false;
    const hurried = `${begin}; SET LOCAL lock_timeout = ${IMPATIENT_WAIT_MS}`;
    const begun = this.#client.query(this.#impatient ? hurried : begin);
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
      if (controls(statement)) return await this.#control(statement.text);
      return await send(this.#client, statement);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async commit(last?: Statement): Promise<Row[]> {
    if (this.#ended) throw new UnitOfWorkError('this unit of work has already ended');
    if (isSevered(this.#client)) {
      await this.rollback();
      throw new DatabaseUnavailableError('the connection was lost before the commit was sent');
    }
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

  /** The first savepoint begins the work, which waits as long as the pool says: one message for both. */
  async #control(text: string): Promise<Row[]> {
    const patient = this.#impatient ? 'SET LOCAL lock_timeout TO DEFAULT; ' : '';
    this.#impatient = false;
    await this.#client.query(`${patient}${text}`);
    return [];
  }
}

function commitError(error: unknown): Error {
  return leavesCommitInDoubt(error)
    ? new CommitInDoubtError('the commit was sent and its answer lost', { cause: error })
    : toDatabaseError(error);
}
