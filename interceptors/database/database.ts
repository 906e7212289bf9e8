import type { Result } from './result.js';

/**
 * A parameter of a statement. A whole number is sent as an integer. SQLite has no booleans and dates: it stores 1 or 0,
 * and the text of `toISOString()`. JSON is sent as text.
 */
export type SqlValue = string | number | bigint | boolean | Date | Uint8Array | null;

/** The value of a column in a row. Integers are bigint and binary values are Buffers on every engine. */
export type SqlColumn = string | number | bigint | Buffer | null;

/** A row of a result: the values by column name. */
export type Row = Record<string, SqlColumn>;

/** The differences between the SQL of the engines, for statements that cannot have the same text on each. */
export interface Dialect {
  readonly name: 'sqlite' | 'postgres';
  /**
   * A SQL expression for the database's clock, in milliseconds since the epoch. Its value is the same throughout one
   * statement.
   */
  readonly now: string;
  /**
   * A SQL expression for the retention time, in milliseconds since the epoch. Use it to delete what has expired, and to
   * judge an expiry. On Postgres it is the database's clock. On SQLite it is at most the clock of the process, and does not
   * jump when that clock is set ahead.
   */
  readonly retentionNow: string;
}

/**
 * The database handle of the services. Inside a guarded call, every write through the handle commits together with
 * the reply, or not at all. Elsewhere each query commits on its own.
 *
 * The same SQL text runs on every engine: `$1`, `$2` for parameters, `RETURNING` for written rows, and the types
 * TEXT, BIGINT, BYTEA and DOUBLE PRECISION. `execute` also reads BOOLEAN, TIMESTAMPTZ and JSON alike. The engine prepares
 * each text once and keeps the statements that were used recently, so texts should be constant.
 */
export interface Database {
  readonly dialect: Dialect;
  /**
   * Runs one statement and resolves to its rows.
   * @throws TypeError when the statement controls transactions, for example COMMIT, or changes the connection for
   *   later calls, for example SET; the message names what to use in its place
   * @throws DatabaseUnavailableError when the database cannot be reached, or is busy or full; a retry may succeed
   * @throws CommitInDoubtError when, outside a transaction, the statement was sent and its answer was lost
   * @throws UnitOfWorkError when the surrounding unit of work has ended, or an earlier statement in it failed
   */
  query<R extends object = Row>(sql: string, params?: readonly SqlValue[]): Promise<R[]>;
  /**
   * Runs one statement and resolves to its rows and the number of affected rows. On both engines a BOOLEAN is a boolean,
   * a TIMESTAMPTZ is a Date and JSON is parsed. SQLite takes the type from the table, so an expression keeps the stored
   * form. Everything else is as in `query`, also the errors.
   */
  execute<R extends object = Record<string, unknown>>(
    sql: string,
    params?: readonly SqlValue[],
  ): Promise<Result<R>>;
  /**
   * Runs `work` as one transaction, which commits when `work` resolves and rolls back when it rejects. Inside a unit
   * of work the transaction is a savepoint. Savepoints that start at the same time run one after another.
   * @throws CommitInDoubtError when the commit was sent and its answer was lost
   */
  transaction<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Runs `action` after the surrounding unit of work has committed. The action does not run if the unit of work rolls
   * back or its commit is in doubt. The commit cannot be undone, so an action that throws or rejects is only reported:
   * to the guard's observer (`afterCommitFailed`) in a guarded call, else as a process warning. The other
   * actions still run.
   * @throws UnitOfWorkError when no unit of work surrounds the call, or the unit of work has ended
   */
  afterCommit(action: () => unknown): void;
  /**
   * Returns a handle that stays with the current unit of work and savepoint, wherever the handle is passed. Use the
   * handle in a task of a queue, a pool or a callback that calls share, because such a task may run in the asynchronous
   * context of another call. After the end of the unit of work the handle is refused. Outside of a unit of work each
   * statement of the returned handle commits on its own, also if it is used inside a unit of work.
   *
   * A transaction of the returned handle is a savepoint of its unit of work. Statements of the returned handle inside
   * that transaction are part of it.
   * @throws UnitOfWorkError when the surrounding unit of work has ended, or an earlier statement in it failed
   */
  current(): Database;
  /**
   * Migrates the schema of one component to the current version. Each step is one statement. Every step is applied
   * once, in the given order, and has no time limit. Several servers may migrate at the same time. If every step has been
   * applied, nothing is written and no privilege to change the schema is needed. A schema with more steps, from a newer
   * program, is not changed. White space in a step may change later, but nothing else.
   * @throws TypeError when a step controls transactions, or changes the connection for later calls
   * @throws SchemaError when a step is missing and may not be applied, or was changed after it had been applied
   */
  migrate(component: string, steps: readonly string[]): Promise<void>;
}
