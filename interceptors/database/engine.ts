import type { Dialect, Row, SqlValue } from './database.js';

/** A SQL text and its parameters. */
export interface Statement {
  readonly text: string;
  readonly params: readonly SqlValue[];
  /** Present if the statement must wait only briefly for a row that another transaction has locked. */
  readonly hasShortLockWait?: true;
}

/** A connection with an open transaction. Exactly one of `commit` and `rollback` ends the session. */
export interface Session {
  /** Runs one statement in the transaction and resolves to its rows. */
  query(statement: Statement): Promise<Row[]>;
  /**
   * Runs `last`, commits, and resolves to the rows of `last`. The engine sends `last` and the commit in one round
   * trip.
   * @throws CommitInDoubtError when the answer was lost; after any other error nothing was committed
   */
  commit(last?: Statement): Promise<Row[]>;
  /** Rolls back. Never rejects. A second call, or a call after the session has ended, has no effect. */
  rollback(): Promise<void>;
}

/** The port of a SQL database, on which the unit of work, the handle and the SQL store are built. */
export interface DatabaseEngine extends Dialect {
  /**
   * Whether reads use a separate connection. If so, a look-up before a claim is cheap, and a replay needs no
   * transaction.
   */
  readonly hasSeparateReader: boolean;
  /** How long a unit of work may stay open, in milliseconds. */
  readonly unitLimitMs: number;
  /** The first statement of a schema migration, if the engine does not serialise writers by itself. */
  readonly migrationLock?: Statement;
  /** Opens a transaction and runs `first` in the transaction. Both need only one round trip. */
  open(first?: Statement): Promise<{ session: Session; rows: Row[] }>;
  /** Runs one statement on its own. The statement is committed when the promise resolves. */
  run(statement: Statement): Promise<Row[]>;
  /** Whether the statement is a read according to its text. A function in the statement may still write. */
  mayOnlyRead(text: string): boolean;
  /**
   * Runs one statement outside a unit of work. `mayOnlyRead` must be true for its text. Resolves to undefined,
   * without an effect, if the statement would have written.
   */
  read(statement: Statement): Promise<Row[] | undefined>;
}
