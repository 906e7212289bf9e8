import { setImmediate as nextTurn } from 'node:timers/promises';
import { CommitInDoubtError, DatabaseUnavailableError } from '../errors.js';
import type { Row } from '../sql/database.js';
import type { Statement } from '../sql/engine.js';
import type { Connection } from './connection.js';
import { leavesCommitInDoubt } from './errors.js';
import { SqliteSession } from './session.js';

interface Waiting {
  readonly first: Statement | undefined;
  resolve(opened: { session: SqliteSession; rows: Row[] }): void;
  reject(error: unknown): void;
}

/**
 * The one writer. Units of work take turns; those that wait share one transaction and so one fsync, and
 * none is told that it committed before that transaction has.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #groupLimit: number;
  readonly #groupMs: number;
  readonly #queue: Waiting[] = [];
  #draining: Promise<void> | undefined;

  /**
   * @param groupLimit the most units that share a commit; 1 gives every unit its own
   * @param groupMs after this long no further unit joins a group
   */
  constructor(connection: Connection, groupLimit: number, groupMs: number) {
    this.#connection = connection;
    this.#groupLimit = groupLimit;
    this.#groupMs = groupMs;
  }

  /** Resolves at the unit's turn, after `first` has run. */
  open(first?: Statement): Promise<{ session: SqliteSession; rows: Row[] }> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ first, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  async idle(): Promise<void> {
    while (this.#draining) await this.#draining;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) await this.#group();
    this.#draining = undefined;
  }

  async #group(): Promise<void> {
    try {
      this.#connection.control('BEGIN IMMEDIATE');
    } catch (error) {
      for (const unit of this.#queue.splice(0)) unit.reject(error);
      return;
    }
    const group = new Group();
    try {
      await this.#takeTurns(group.committed);
      this.#commit();
      group.succeed();
    } catch (error) {
      group.fail(error);
    }
  }

  async #takeTurns(committed: Promise<void>): Promise<void> {
    const until = performance.now() + this.#groupMs;
    let kept = 0;
    do {
      if (await this.#turn(this.#queue.shift() as Waiting, committed)) kept++;
      if (!this.#connection.inTransaction)
        throw new DatabaseUnavailableError('the transaction was rolled back');
      // A look at the sockets: the calls that have arrived meanwhile may join this commit.
      if (this.#queue.length === 0 && kept < this.#groupLimit) await nextTurn();
    } while (this.#queue.length > 0 && kept < this.#groupLimit && performance.now() < until);
  }

  async #turn(unit: Waiting, committed: Promise<void>): Promise<boolean> {
    let session: SqliteSession | undefined;
    try {
      session = new SqliteSession(this.#connection, committed);
      unit.resolve({ session, rows: unit.first ? await session.query(unit.first) : [] });
    } catch (error) {
      await session?.rollback();
      unit.reject(error);
    }
    await session?.over;
    return session?.kept ?? false;
  }

  #commit(): void {
    try {
      this.#connection.control('COMMIT');
    } catch (error) {
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
      throw leavesCommitInDoubt(error)
        ? new CommitInDoubtError('the commit failed half-way', { cause: error })
        : new DatabaseUnavailableError('the commit of the group failed', { cause: error });
    }
  }
}

/** The outcome that the units of one group wait for. */
class Group {
  succeed!: () => void;
  fail!: (error: unknown) => void;
  readonly committed = new Promise<void>((resolve, reject) => {
    this.succeed = resolve;
    this.fail = reject;
  });

  constructor() {
    // A group in which every unit rolled back has nobody waiting for it.
    this.committed.catch(() => {});
  }
}
