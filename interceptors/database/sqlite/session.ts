import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { DatabaseUnavailableError, UnitOfWorkError } from '../errors.js';
import type { Connection } from './connection.js';

/** The session of one unit on the writer: a savepoint inside the transaction of the group. */
export class SqliteSession implements Session {
  /** Resolves when the unit has released the writer. */
  readonly ended: Promise<void>;
  /** Whether the unit commits with its group. */
  joinsCommit = false;
  readonly #connection: Connection;
  readonly #groupCommitted: Promise<void>;
  #resolveEnded!: () => void;
  #hasEnded = false;

  /** @param groupCommitted resolves when the COMMIT of the group succeeds, rejects when it fails */
  constructor(connection: Connection, groupCommitted: Promise<void>) {
    this.#connection = connection;
    this.#groupCommitted = groupCommitted;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    connection.control('SAVEPOINT unit');
  }

  async query(statement: Statement): Promise<Row[]> {
    if (this.#hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    // SQLite itself rolls the whole transaction back after some errors, for example when the disk is full.
    if (!this.#connection.inTransaction)
      throw new DatabaseUnavailableError('the transaction was rolled back');
    return this.#connection.run(statement);
  }

  async commit(last?: Statement): Promise<Row[]> {
    let rows: Row[] = [];
    try {
      if (last) rows = await this.query(last);
      this.#connection.control('RELEASE SAVEPOINT unit');
    } catch (error) {
      await this.rollback();
      throw error;
    }
    this.joinsCommit = true;
    this.#end();
    await this.#groupCommitted;
    return rows;
  }

  async rollback(): Promise<void> {
    if (this.#hasEnded) return;
    try {
      this.#connection.control('ROLLBACK TO SAVEPOINT unit');
      this.#connection.control('RELEASE SAVEPOINT unit');
    } catch {
      // If the unit cannot be rolled back alone, the whole group must not commit.
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
    } finally {
      this.#end();
    }
  }

  #end(): void {
    this.#hasEnded = true;
    this.#resolveEnded();
  }
}
