import { setTimeout as delay } from 'node:timers/promises';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { Row } from '../database.js';
import {
  type Attempt,
  type AttemptMode,
  currentTime,
  type DatabaseEngine,
  type OpenedSession,
  type Peeked,
  type RetentionTime,
  retentionTime,
  type Session,
  type Statement,
  type StatementTime,
} from '../engine.js';
import { LockTimeoutError } from '../errors.js';
import type { DatabaseLoad } from '../load.js';
import { type Connection, retryWhileLocked } from './connection.js';
import type { Writer } from './writer.js';

/** The pause between two attempts to empty the log, in milliseconds. */
const LOG_RETRY_MS = 15;

/** Finds the columns of the table of component versions. */
export const versionColumns: Statement = {
  text: "SELECT name FROM pragma_table_info('replay_guard_schema')",
  params: [],
};

/**
 * The SQLite engine. Units of work run on the writer. Reads outside of them run on the reader and see committed data.
 */
export class SqliteEngine implements DatabaseEngine {
  readonly name = 'sqlite';
  readonly now = 'replay_guard_now()';
  readonly retentionNow = 'replay_guard_retention_now()';
  readonly hasSeparateReader: boolean;
  readonly unitLimitMs: number;
  readonly time: StatementTime = { sql: (position) => `$${position}`, params: [currentTime] };
  readonly retention: RetentionTime = { sql: (_now, position) => `$${position}`, params: [retentionTime] };
  readonly mayMigrate: boolean;
  readonly versionColumns = versionColumns;
  readonly #connection: Connection;
  readonly #writer: Writer;
  readonly #reader: Connection | undefined;
  readonly #busyTimeoutMs: number;
  readonly #isShared: boolean;

  /**
   * @param connection the connection of the writer
   * @param isShared whether the application uses the connection of the writer, too
   * @param reader absent for a database in memory, which has only one connection
   * @param mayMigrate whether a migration may change the schema
   */
  constructor(
    connection: Connection,
    writer: Writer,
    reader: Connection | undefined,
    unitLimitMs: number,
    busyTimeoutMs: number,
    isShared: boolean,
    mayMigrate = true,
  ) {
    this.mayMigrate = mayMigrate;
    this.#isShared = isShared;
    this.#connection = connection;
    this.#writer = writer;
    this.#reader = reader;
    this.hasSeparateReader = reader !== undefined;
    this.unitLimitMs = unitLimitMs;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  load(): DatabaseLoad {
    return { engine: 'sqlite', waiting: this.#writer.waiting };
  }

  onWait(listener: (seconds: number) => void): void {
    this.#writer.waits.add(listener);
  }

  open(first?: Statement): MaybePromise<OpenedSession> {
    return this.#writer.open(first);
  }

  /** The writer serialises the migrations. It waits for another process like any other unit of work. */
  openMigration(): MaybePromise<OpenedSession> {
    return this.#writer.open();
  }

  run(statement: Statement): MaybePromise<Row[]> {
    const reader = this.#reader;
    if (reader && this.mayOnlyRead(statement.text)) {
      return retryWhileLocked(this.#busyTimeoutMs, () => reader.run(statement));
    }
    return this.#write(statement);
  }

  /**
   * Uses the connection of the writer, whose page cache stays valid. A commit makes the cache of the reader invalid. A
   * connection on which the application iterates over rows sees old data, so a shared connection is not used.
   */
  peek(statement: Statement): Peeked | undefined {
    try {
      if (this.#isShared && this.#reader) return { rows: this.#reader.run(statement), isCommitted: true };
      return { rows: this.#connection.run(statement), isCommitted: this.#writer.isIdle };
    } catch (error) {
      if (error instanceof LockTimeoutError) return undefined;
      throw error;
    }
  }

  check(): boolean {
    return this.#writer.check();
  }

  attempt(first: Statement, instead: Statement, mode: AttemptMode): MaybePromise<Attempt> {
    let opened: MaybePromise<OpenedSession>;
    try {
      opened = this.#writer.open(first);
    } catch (error) {
      return this.#runInstead(instead, error);
    }
    if (!(opened instanceof Promise)) return this.#attempted(opened, instead, mode);
    return opened.then(
      (session) => this.#attempted(session, instead, mode),
      (error) => this.#runInstead(instead, error),
    );
  }

  #attempted(opened: OpenedSession, instead: Statement, mode: AttemptMode): MaybePromise<Attempt> {
    const { session, rows } = opened;
    if (rows.length === 0) return this.#endWith(session, instead);
    return mode === 'open' ? opened : session.commit().then(() => ({ rows }));
  }

  /**
   * Runs `instead` and ends the unit, which has written nothing. Other units of the group may have
   * written the rows, so the rows are returned after the commit of the group.
   */
  async #endWith(session: Session, instead: Statement): Promise<Attempt> {
    return { instead: await session.commit(instead), isLocked: false };
  }

  #runInstead(instead: Statement, error: unknown): MaybePromise<Attempt> {
    // Without a connection of its own, a read would wait for the same lock.
    if (!(error instanceof LockTimeoutError && this.#reader)) throw error;
    const rows = this.run(instead);
    const locked = (found: Row[]) => ({ instead: found, isLocked: true });
    return rows instanceof Promise ? rows.then(locked) : locked(rows);
  }

  /** The reader does not know temporary tables and the functions of an application that shares its connection. */
  mayOnlyRead(text: string): boolean {
    return (this.#reader ?? this.#connection).onlyReads(text);
  }

  read(statement: Statement): MaybePromise<Row[]> {
    return this.run(statement);
  }

  /**
   * Copies the write-ahead log into the file and empties the log, which holds earlier versions of the changed pages.
   * `secure_delete` has overwritten the deleted bytes in the pages. Waits for readers for at most the busy timeout.
   */
  async emptyLog(): Promise<boolean> {
    const until = performance.now() + this.#busyTimeoutMs;
    for (;;) {
      const isEmpty = await this.#writer.betweenGroups(() => this.#tryEmptyLog());
      if (isEmpty || performance.now() >= until) return isEmpty;
      await delay(LOG_RETRY_MS);
    }
  }

  #tryEmptyLog(): boolean {
    try {
      const [row] = this.#connection.run({ text: 'PRAGMA wal_checkpoint(TRUNCATE)', params: [] });
      return row?.busy === 0n;
    } catch (error) {
      if (error instanceof LockTimeoutError) return false;
      throw error;
    }
  }

  #write(statement: Statement): Promise<Row[]> {
    const opened = this.#writer.open();
    if (opened instanceof Promise) return opened.then(({ session }) => session.commit(statement));
    return opened.session.commit(statement);
  }
}
