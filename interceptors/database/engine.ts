import type { Dialect, Row, SqlValue } from './database.js';

export interface Statement {
  readonly text: string;
  readonly params: readonly SqlValue[];
  /** Not worth more than a moment's wait for what another transaction has locked. */
  readonly impatient?: true;
}

/** An open transaction on one connection. Ended by exactly one of `commit` and `rollback`. */
export interface Session {
  query(statement: Statement): Promise<Row[]>;
  /**
   * Commits, after running `last`, whose rows it returns; both travel together.
   * @throws CommitInDoubtError the answer was lost; any other error means nothing was committed
   */
  commit(last?: Statement): Promise<Row[]>;
  /** Rolls back; never rejects. Safe to call again, and after the session has ended. */
  rollback(): Promise<void>;
}

/** What a SQL database has to do for the unit of work, the handle and the store, which all engines share. */
export interface DatabaseEngine extends Dialect {
  /** Whether a look before a claim costs next to nothing, so that replays need no transaction. */
  readonly readsAreCheap: boolean;
  /** How long a unit of work may stay open, in milliseconds. */
  readonly unitLimitMs: number;
  /** Taken first by a schema migration, where the engine does not serialise writers by itself. */
  readonly migrationLock?: Statement;
  /** Opens a transaction; `first` travels with its opening. */
  open(first?: Statement): Promise<{ session: Session; rows: Row[] }>;
  /** Runs one statement on its own, committed when it resolves. */
  run(statement: Statement): Promise<Row[]>;
  /** Whether the statement looks as if it only reads. */
  mayOnlyRead(text: string): boolean;
  /** Runs such a statement on its own; undefined where it would have written, and so did nothing. */
  read(statement: Statement): Promise<Row[] | undefined>;
}
