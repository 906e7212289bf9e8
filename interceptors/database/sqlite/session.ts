import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from '../errors.js';
import type { Connection } from './connection.js';

/**
 * The state of the statements of a session that has ended without a commit.
 * - undone: they were rolled back.
 * - left: they could not be rolled back, so the group must not commit.
 * - unknown: the application has ended the transaction on a database that it shares with the store.
 */
export type UndoneSession = 'undone' | 'left' | 'unknown';

const ENDED_BY_APPLICATION =
  'the application has ended the transaction of this unit of work on its own database; use transaction() of the handle';

/** The part of the writer that a session needs. */
export interface SessionGroup {
  /** Ends the session that holds the writer. Resolves to `rows` when the group has committed. */
  commit(rows: Row[]): Promise<Row[]>;
  /** Ends the session that holds the writer, after an attempt to roll its statements back. */
  rolledBack(end: UndoneSession): void;
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
  /** Whether SQLite has rolled the transaction back after a statement of this session. */
  #isRolledBack = false;

  constructor(connection: Connection, group: SessionGroup, hasSavepoint: boolean) {
    this.#connection = connection;
    this.#group = group;
    this.#hasSavepoint = hasSavepoint;
    if (hasSavepoint) connection.control('SAVEPOINT unit');
  }

  query(statement: Statement): Row[] {
    if (this.#hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    // SQLite itself rolls the whole transaction back after some errors, for example when the disk is full.
    if (this.#isRolledBack) throw new DatabaseUnavailableError('the transaction was rolled back');
    if (!this.#connection.inTransaction) throw new UnitOfWorkError(ENDED_BY_APPLICATION);
    try {
      if (!control.test(statement.text)) return this.#connection.run(statement);
      this.#connection.control(statement.text);
      return [];
    } catch (error) {
      this.#isRolledBack = !this.#connection.inTransaction;
      throw error;
    }
  }

  /** Not `async`: the only promise is the commit of the group. */
  commit(last?: Statement): Promise<Row[]> {
    if (this.#hasEnded) return Promise.reject(new UnitOfWorkError('this unit of work has already ended'));
    if (this.#isEndedByApplication) {
      this.rollback();
      return Promise.reject(new CommitInDoubtError(ENDED_BY_APPLICATION));
    }
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

  get #isEndedByApplication(): boolean {
    return !this.#isRolledBack && !this.#connection.inTransaction;
  }

  /** Undoes the statements of the unit, or the whole group if the unit cannot be rolled back alone. */
  #undo(): UndoneSession {
    if (this.#isEndedByApplication) return 'unknown';
    try {
      if (!this.#hasSavepoint) return this.#rollBackAll();
      this.#connection.control('ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit');
      return 'undone';
    } catch {
      return this.#rollBackAll();
    }
  }

  /** Rolls the whole transaction back, which fails if the application iterates over rows. */
  #rollBackAll(): UndoneSession {
    try {
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
      return 'undone';
    } catch {
      return 'left';
    }
  }
}
