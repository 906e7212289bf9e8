import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { DatabaseUnavailableError, UnitOfWorkError } from '../errors.js';
import type { Connection } from './connection.js';

/** The part of the writer that a session needs. */
export interface SessionGroup {
  /** Ends the session that holds the writer. Resolves to `rows` when the group has committed. */
  commit(rows: Row[]): Promise<Row[]>;
  /**
   * Ends the session that holds the writer, without its statements.
   * @param isUndone whether the statements of the session were undone; if not, the group must not commit
   */
  rolledBack(isUndone: boolean): void;
}

const control = /^(SAVEPOINT|RELEASE|ROLLBACK)\b/;

/**
 * The session of one unit on the writer. The first unit of a group has the transaction of the group for itself. Each
 * later unit is a savepoint in it, so that its rollback does not undo the units before.
 */
export class SqliteSession implements Session {
  readonly #connection: Connection;
  readonly #group: SessionGroup;
  readonly #hasSavepoint: boolean;
  #hasEnded = false;

  constructor(connection: Connection, group: SessionGroup, hasSavepoint: boolean) {
    this.#connection = connection;
    this.#group = group;
    this.#hasSavepoint = hasSavepoint;
    if (hasSavepoint) connection.control('SAVEPOINT unit');
  }

  query(statement: Statement): Row[] {
    if (this.#hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    // SQLite itself rolls the whole transaction back after some errors, for example when the disk is full.
    if (!this.#connection.inTransaction)
      throw new DatabaseUnavailableError('the transaction was rolled back');
    if (!control.test(statement.text)) return this.#connection.run(statement);
    this.#connection.control(statement.text);
    return [];
  }

  /** Not `async`: the only promise is the commit of the group. */
  commit(last?: Statement): Promise<Row[]> {
    if (this.#hasEnded) return Promise.reject(new UnitOfWorkError('this unit of work has already ended'));
    let rows: Row[] = [];
    try {
      if (last) rows = this.query(last);
      if (this.#hasSavepoint) this.#connection.control('RELEASE SAVEPOINT unit');
    } catch (error) {
      this.rollback();
      return Promise.reject(error);
    }
    this.#hasEnded = true;
    return this.#group.commit(rows);
  }

  rollback(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#group.rolledBack(this.#undo());
  }

  /** Undoes the statements of the unit, or the whole group if the unit cannot be rolled back alone. */
  #undo(): boolean {
    try {
      if (!this.#hasSavepoint) return this.#rollBackAll();
      this.#connection.control('ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit');
      return true;
    } catch {
      return this.#rollBackAll();
    }
  }

  /** Rolls the whole transaction back. Returns false if that fails, for example because a cursor is open. */
  #rollBackAll(): boolean {
    try {
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
      return true;
    } catch {
      return false;
    }
  }
}
