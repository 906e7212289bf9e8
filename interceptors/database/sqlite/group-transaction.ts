import {
  CommitInDoubtError,
  DatabaseReplacedError,
  DatabaseUnavailableError,
  LockTimeoutError,
} from '../errors.js';
import type { Connection } from './connection.js';
import type { DatabaseFile } from './database-file.js';
import { isConstraintViolation, leavesCommitInDoubt } from './errors.js';

/** The transaction that the units of a group share. The group opens and ends it on the connection of the writer. */
export class GroupTransaction {
  readonly #connection: Connection;
  readonly #file: DatabaseFile | undefined;
  readonly #beforeCommit: () => void;
  /** Whether a transaction of the writer is still open, because its rollback has failed. */
  #isLeft = false;

  /**
   * @param file absent for a database in memory
   * @param beforeCommit runs before each COMMIT. It may run statements and must not throw.
   */
  constructor(connection: Connection, file: DatabaseFile | undefined, beforeCommit: () => void) {
    this.#connection = connection;
    this.#file = file;
    this.#beforeCommit = beforeCommit;
  }

  /** Whether the connection has an open transaction, also one of the application. */
  get isOpen(): boolean {
    return this.#connection.inTransaction;
  }

  /** Whether a transaction of the writer is still open, because its rollback has failed. It must not commit. */
  get isLeft(): boolean {
    return this.#isLeft;
  }

  /**
   * Begins the transaction. First rolls back what a failed rollback has left open.
   * @throws LockTimeoutError also while the application has a transaction of its own on a database that it shares
   */
  begin(): void {
    if (this.isOpen) {
      if (!this.#isLeft)
        throw new LockTimeoutError('the application has a transaction open on the connection');
      this.#connection.control('ROLLBACK');
      this.#isLeft = false;
    }
    this.#connection.control('BEGIN IMMEDIATE');
  }

  /** Notes whether the rollback of a unit has left the transaction open. */
  rolledBack(isUndone: boolean): void {
    this.#isLeft = !isUndone && this.isOpen;
  }

  /** Rolls back a transaction in which every unit has rolled back. Nothing must become durable. */
  rollBack(): void {
    this.#end('ROLLBACK');
  }

  /**
   * Commits the transaction, or rolls it back if the commit fails.
   * @throws DatabaseReplacedError when the file was deleted or replaced; nothing was committed
   * @throws Error of SQLite: see `commitError`
   */
  commit(): void {
    this.#beforeCommit();
    this.#end('COMMIT');
  }

  #end(text: 'COMMIT' | 'ROLLBACK'): void {
    try {
      if (text === 'COMMIT') this.#file?.assertInPlace();
      this.#connection.control(text);
    } catch (error) {
      this.#tryRollBack();
      throw error;
    }
  }

  /** Rolls back after a failure. If that fails too, the next group rolls back before it begins. */
  #tryRollBack(): void {
    try {
      if (this.isOpen) this.#connection.control('ROLLBACK');
    } catch {
      // The error of the commit is reported.
    }
    this.#isLeft = this.isOpen;
  }
}

/** Returns the error of the port for the failed commit of a group. @param units the number of units in the group */
export function commitError(error: unknown, units: number): unknown {
  if (error instanceof DatabaseReplacedError) return error;
  if (leavesCommitInDoubt(error)) {
    return new CommitInDoubtError('the commit failed while it was written', { cause: error });
  }
  if (isConstraintViolation(error) && units === 1) return error;
  return new DatabaseUnavailableError('the commit of the group failed', { cause: error });
}
