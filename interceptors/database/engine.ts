import type { MaybePromise } from '../timing/maybe-promise.js';
import type { Dialect, Row, SqlValue } from './database.js';
import type { LoadSource } from './load.js';
import type { StatementResult } from './result.js';

/** The parameter that stands for the time at which its statement runs, in milliseconds since the epoch. */
export const currentTime: unique symbol = Symbol('current time');

/** The parameter that stands for the retention time at which its statement runs: see `Dialect.retentionNow`. */
export const retentionTime: unique symbol = Symbol('retention time');

/** A SQL text and its parameters. */
export interface Statement {
  readonly text: string;
  readonly params: readonly (SqlValue | typeof currentTime | typeof retentionTime)[];
  /** Receives the rows, with their columns and the number of affected rows. The statement then returns no rows. */
  readonly result?: StatementResult<object>;
}

/** A connection with an open transaction. Exactly one of `commit` and `rollback` ends the session. */
export interface Session {
  /**
   * Runs one statement in the transaction and returns its rows: at once if the engine is synchronous, else in a
   * promise. A failure is thrown, or rejects the promise.
   */
  query(statement: Statement): MaybePromise<Row[]>;
  /**
   * Runs `last`, commits, and resolves to the rows of `last`. Both travel together.
   * @throws CommitInDoubtError when the answer was lost; after any other error nothing was committed
   */
  commit(last?: Statement): Promise<Row[]>;
  /** Rolls back. Never fails. A second call, or a call after the session has ended, has no effect. */
  rollback(): MaybePromise<void>;
}

/** The database's clock in statements that read the time once. */
export interface StatementTime {
  /** Returns the SQL of the time. An engine that binds the time binds it as the parameter at `position`. */
  sql(position: number): string;
  /** The bound parameter, or nothing if the database itself reads the clock. */
  readonly params: readonly (typeof currentTime)[];
}

/** The retention time in the store's own statements. */
export interface RetentionTime {
  /**
   * Returns the SQL of the retention time. An engine with a retention time of its own binds the time as the parameter
   * at `position`. Other engines return `now`.
   * @param now SQL for the time of the statement
   */
  sql(now: string, position: number): string;
  /** The bound parameter, or nothing if the retention time is the time of the statement. */
  readonly params: readonly (typeof retentionTime)[];
}

/** An open transaction, and the rows of the statement that travelled with its opening. */
export interface OpenedSession {
  readonly session: Session;
  readonly rows: Row[];
}

/**
 * The result of `attempt`. It has the rows of the attempted statement, and the transaction if one is still open. Or it has
 * the rows of the statement that ran instead.
 */
export type Attempt =
  | { readonly rows: Row[]; readonly session?: Session }
  | { readonly instead: Row[]; readonly isLocked: boolean };

/** The rows of a read that also sees units of work that have not committed. */
export interface Peeked {
  readonly rows: Row[];
  /** Whether no unit of work was open, so that all rows are committed. */
  readonly isCommitted: boolean;
}

/** How an attempted statement commits: in a transaction that stays open, or on its own. */
export type AttemptMode = 'open' | 'alone';

/**
 * The port of a SQL database, on which the unit of work, the handle and the SQL store are built. A synchronous engine
 * returns results at once if it need not wait.
 */
export interface DatabaseEngine extends Dialect, LoadSource {
  /**
   * Whether reads have a connection of their own. Then a look-up before a claim costs almost nothing, and a replay
   * needs no transaction.
   */
  readonly hasSeparateReader: boolean;
  /** How long a unit of work may stay open, in milliseconds. */
  readonly unitLimitMs: number;
  /** The schema of the tables of the library, as the application names it. Undefined: the search path finds them. */
  readonly schema?: string | undefined;
  /** Whether a migration may change the schema. If not, a schema with missing steps is an error. */
  readonly mayMigrate: boolean;
  /** Finds the columns of the table of component versions. Returns no rows if the table is missing. */
  readonly versionColumns: Statement;
  /** The time of the store's own statements. */
  readonly time: StatementTime;
  /** The time by which the store's own statements judge whether a retention has ended. */
  readonly retention: RetentionTime;
  /** Opens a transaction and runs `first` in it. `first` travels with the opening. */
  open(first?: Statement): MaybePromise<OpenedSession>;
  /**
   * Opens the transaction of a schema migration. Its statements have no time limit. They wait only briefly for a lock,
   * because calls would queue behind a statement that waits for the lock of a table.
   * @throws LockTimeoutError when another server migrates
   */
  openMigration(): MaybePromise<OpenedSession>;
  /**
   * Finds the tables of the library at the end of a migration, or without one. Later statements use these tables, with any
   * search path of their connection. An engine without schemas has no such method.
   */
  locateTables?(migration?: Session): Promise<void>;
  /** Runs one statement on its own. The statement is committed when its rows are there. */
  run(statement: Statement): MaybePromise<Row[]>;
  /**
   * Runs a read at once. The read also sees the rows that open units of work have written. An engine that would have to
   * wait has no such method. Returns undefined if another process holds the database.
   */
  peek?(statement: Statement): Peeked | undefined;
  /**
   * Checks the state of the database without a statement, for example whether its file is still in its place. Returns
   * whether a transaction could start at once. An engine whose transactions do not wait for each other has no such
   * method.
   */
  check?(): boolean;
  /**
   * Runs a statement that waits only briefly for a locked row. If it returns no row, or if another transaction holds its
   * row (`isLocked`), the engine runs `instead` in place of it, on the same connection. Then no transaction stays open.
   */
  attempt(first: Statement, instead: Statement, mode: AttemptMode): MaybePromise<Attempt>;
  /**
   * Resolves when every commit that is visible now is also on the synchronous standby. Needed only if a look-up has said
   * that commits wait for a standby. An engine without standbys has no such method.
   * @throws DatabaseUnavailableError when the standby has not confirmed that
   */
  confirmOnStandby?(): Promise<void>;
  /**
   * Removes the previous content of deleted and changed rows from the files of the database. Resolves to false if a reader
   * still needs earlier versions. An engine that keeps earlier versions of rows has no such method.
   */
  emptyLog?(): Promise<boolean>;
  /** Whether the statement appears to only read. A function that it calls may still write. */
  mayOnlyRead(text: string): boolean;
  /**
   * Runs a statement on its own for which `mayOnlyRead` is true. Gives undefined, without an effect, if the statement
   * would have written.
   */
  read(statement: Statement): MaybePromise<Row[] | undefined>;
}
