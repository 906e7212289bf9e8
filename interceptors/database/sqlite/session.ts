import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { DatabaseUnavailableError, UnitOfWorkError } from '../errors.js';
import type { Connection } from './connection.js';

/** A unit's turn on the writer: a savepoint inside the group's transaction. */
export class SqliteSession implements Session {
  /** Resolves when the turn is over. */
  readonly over: Promise<void>;
  /** Whether the unit is to be committed with its group. */
  kept = false;
  readonly #connection: Connection;
  readonly #committed: Promise<void>;
  #finish!: () => void;
  #ended = false;

  /** @param committed settles with the group's COMMIT */
  constructor(connection: Connection, committed: Promise<void>) {
    this.#connection = connection;
    this.#committed = committed;
    this.over = new Promise((resolve) => {
      this.#finish = resolve;
    });
    connection.control('SAVEPOINT unit');
  }

  async query(statement: Statement): Promise<Row[]> {
    if (this.#ended) throw new UnitOfWorkError('this unit of work has already ended');
    // SQLite rolls the whole transaction back by itself on some errors, a full disk among them.
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
    this.kept = true;
    this.#end();
    await this.#committed;
    return rows;
  }

  async rollback(): Promise<void> {
    if (this.#ended) return;
    try {
      this.#connection.control('ROLLBACK TO SAVEPOINT unit');
      this.#connection.control('RELEASE SAVEPOINT unit');
    } catch {
      // What cannot be taken back alone must not be committed with the others.
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
    } finally {
      this.#end();
    }
  }

  #end(): void {
    this.#ended = true;
    this.#finish();
  }
}
