import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Row } from '../database.js';
import type { Statement } from '../engine.js';
import { CommitInDoubtError, DatabaseUnavailableError } from '../errors.js';
import { retryWhileLocked } from './busy.js';
import type { Connection } from './connection.js';
import { isConstraint, leavesCommitInDoubt } from './errors.js';
import { SqliteSession } from './session.js';

interface Waiting {
  readonly first: Statement | undefined;
  resolve(opened: { session: SqliteSession; rows: Row[] }): void;
  reject(error: unknown): void;
}

/** For so long after a constraint failed at a COMMIT every unit has its own. */
const ALONE_MS = 10_000;

/**
 * The one writer. Units of work take turns; those that wait share one transaction and so one fsync, and
 * none is told that it committed before that transaction has.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #groupLimit: number;
  readonly #groupMs: number;
  readonly #busyTimeoutMs: number;
  readonly #queue: Waiting[] = [];
  #draining: Promise<void> | undefined;
  #aloneUntil = 0;

  /**
   * @param groupLimit the most units that share a commit; 1 gives every unit its own
   * @param groupMs after this long no further unit joins a group
   * @param busyTimeoutMs how long a group waits for another process that writes
   */
  constructor(connection: Connection, groupLimit: number, groupMs: number, busyTimeoutMs: number) {
    this.#connection = connection;
    this.#groupLimit = groupLimit;
    this.#groupMs = groupMs;
    this.#busyTimeoutMs = busyTimeoutMs;
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
      await retryWhileLocked(this.#busyTimeoutMs, () => this.#connection.control('BEGIN IMMEDIATE'));
    } catch (error) {
      for (const unit of this.#queue.splice(0)) unit.reject(error);
      return;
    }
    const group = new Group();
    try {
      this.#commit(await this.#takeTurns(group.committed));
      group.succeed();
    } catch (error) {
      group.fail(error);
    }
  }

  /** Returns how many units are to be committed. */
  async #takeTurns(committed: Promise<void>): Promise<number> {
    const begun = performance.now();
    const until = begun + this.#groupMs;
    const limit = begun < this.#aloneUntil ? 1 : this.#groupLimit;
    let kept = 0;
    do {
      if (await this.#turn(this.#queue.shift() as Waiting, committed)) kept++;
      if (!this.#connection.inTransaction)
        throw new DatabaseUnavailableError('the transaction was rolled back');
      // A look at the sockets: the calls that have arrived meanwhile may join this commit.
      if (this.#queue.length === 0 && kept < limit) await nextTurn();
    } while (this.#queue.length > 0 && kept < limit && performance.now() < until);
    return kept;
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

  #commit(units: number): void {
    try {
      this.#connection.control('COMMIT');
    } catch (error) {
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
      if (leavesCommitInDoubt(error))
        throw new CommitInDoubtError('the commit failed half-way', { cause: error });
      if (isConstraint(error)) {
        // Whose fault it was cannot be told, so the next ones are not to suffer from each other.
        this.#aloneUntil = performance.now() + ALONE_MS;
        if (units === 1) throw error;
      }
      throw new DatabaseUnavailableError('the commit of the group failed', { cause: error });
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
