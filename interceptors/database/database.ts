/** What a statement takes. Integers read back as bigint on every engine. */
export type SqlValue = string | number | bigint | Uint8Array | null;

/** What a column reads back as: integers are bigint, binary is a Buffer. */
export type SqlColumn = string | number | bigint | Buffer | null;

export type Row = Record<string, SqlColumn>;

/** What is different in the SQL of the engines, for statements that must be worded for each. */
export interface Dialect {
  readonly name: 'sqlite' | 'postgres';
  /** The database's clock: SQL for milliseconds since the epoch, the same throughout a statement. */
  readonly now: string;
}

/**
 * The database that services use. Inside a guarded call everything done through it commits together
 * with the reply, or not at all; elsewhere each query stands alone.
 *
 * The same SQL text runs on every engine: `$1`, `$2` for parameters, `RETURNING` for what was written,
 * and the types TEXT, BIGINT, BYTEA and DOUBLE PRECISION. Texts are prepared once, so keep them constant.
 */
export interface Database {
  readonly dialect: Dialect;
  /**
   * Runs one statement and returns its rows.
   * @throws DatabaseUnavailableError the database is out of reach, busy or full: worth a retry
   * @throws CommitInDoubtError outside a transaction: the statement was sent and its answer lost
   * @throws UnitOfWorkError the surrounding unit of work has ended, or a statement in it failed before
   */
  query<R extends object = Row>(sql: string, params?: readonly SqlValue[]): Promise<R[]>;
  /**
   * Runs `work` as one transaction: committed when it resolves, rolled back when it rejects. Inside a
   * unit of work it is a savepoint; several started at once run one after another.
   * @throws CommitInDoubtError the commit was sent and its answer lost
   */
  transaction<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Runs `action` once the unit of work that surrounds this has committed; never if it rolls back, or its
   * commit is in doubt. A failure of the action cannot undo the commit: it is an uncaught exception.
   * @throws UnitOfWorkError there is no unit of work, or it has ended
   */
  afterCommit(action: () => void): void;
  /**
   * Brings the schema of one component up to date: each step is one statement, applied once, in order.
   * Safe when several servers start at once.
   */
  migrate(component: string, steps: readonly string[]): Promise<void>;
}
