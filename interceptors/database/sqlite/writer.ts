import { setImmediate as nextIteration } from 'node:timers/promises';
import type { Row } from '../database.js';
import type { Statement } from '../engine.js';
import { CommitInDoubtError, DatabaseUnavailableError } from '../errors.js';
import { type Connection, retryWhileLocked } from './connection.js';
import { isConstraintViolation, leavesCommitInDoubt } from './errors.js';
import { SqliteSession } from './session.js';

/** A unit of work that waits for the writer. */
interface QueuedUnit {
  readonly first: Statement | undefined;
  resolve(opened: { session: SqliteSession; rows: Row[] }): void;
  reject(error: unknown): void;
}

/** How long every unit commits alone after a constraint violation at a COMMIT, in milliseconds. */
const SEPARATE_COMMITS_MS = 10_000;

/**
 * The only writer of a SQLite database. Units of work run one after another. Waiting units form a group, which shares
 * one transaction and one fsync. The commit of a unit resolves after the group has committed.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #groupLimit: number;
  readonly #groupMs: number;
  readonly #busyTimeoutMs: number;
  readonly #queue: QueuedUnit[] = [];
  #draining: Promise<void> | undefined;
  #separateUntil = 0;

  /**
   * @param groupLimit the maximum number of units in one commit; with 1, every unit commits alone
   * @param groupMs how long a group accepts further units, in milliseconds
   * @param busyTimeoutMs how long a group waits for another process that writes, in milliseconds
   */
  constructor(connection: Connection, groupLimit: number, groupMs: number, busyTimeoutMs: number) {
    this.#connection = connection;
    this.#groupLimit = groupLimit;
    this.#groupMs = groupMs;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /** Queues a unit of work. Resolves when the unit holds the writer and `first` has run. */
  open(first?: Statement): Promise<{ session: SqliteSession; rows: Row[] }> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ first, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Resolves when no unit runs or waits. */
  async idle(): Promise<void> {
    while (this.#draining) await this.#draining;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) await this.#runGroup();
    this.#draining = undefined;
  }

  async #runGroup(): Promise<void> {
    try {
      await retryWhileLocked(this.#busyTimeoutMs, () => this.#connection.control('BEGIN IMMEDIATE'));
    } catch (error) {
      for (const unit of this.#queue.splice(0)) unit.reject(error);
      return;
    }
    const group = new Group();
    try {
      this.#commit(await this.#runUnits(group.committed));
      group.succeed();
    } catch (error) {
      group.fail(error);
    }
  }

  /** Runs units until the group is full or its time is over. Returns the number of units that commit. */
  async #runUnits(groupCommitted: Promise<void>): Promise<number> {
    const begin = performance.now();
    const until = begin + this.#groupMs;
    const limit = begin < this.#separateUntil ? 1 : this.#groupLimit;
    let committing = 0;
    do {
      if (await this.#runUnit(this.#queue.shift() as QueuedUnit, groupCommitted)) committing++;
      if (!this.#connection.inTransaction)
        throw new DatabaseUnavailableError('the transaction was rolled back');
      // One iteration of the event loop reads the sockets, so that calls that have just arrived can join the group.
      if (this.#queue.length === 0 && committing < limit) await nextIteration();
    } while (this.#queue.length > 0 && committing < limit && performance.now() < until);
    return committing;
  }

  /** Runs one unit until it ends. Returns whether the unit commits with the group. */
  async #runUnit(unit: QueuedUnit, groupCommitted: Promise<void>): Promise<boolean> {
    let session: SqliteSession | undefined;
    try {
      session = new SqliteSession(this.#connection, groupCommitted);
      unit.resolve({ session, rows: unit.first ? await session.query(unit.first) : [] });
    } catch (error) {
      await session?.rollback();
      unit.reject(error);
    }
    await session?.ended;
    return session?.joinsCommit ?? false;
  }

  #commit(units: number): void {
    try {
      this.#connection.control('COMMIT');
    } catch (error) {
      if (this.#connection.inTransaction) this.#connection.control('ROLLBACK');
      if (leavesCommitInDoubt(error)) {
        throw new CommitInDoubtError('the commit failed while it was written', { cause: error });
      }
      if (isConstraintViolation(error)) {
        // SQLite does not name the unit that violated the constraint. Separate commits protect the other units.
        this.#separateUntil = performance.now() + SEPARATE_COMMITS_MS;
        if (units === 1) throw error;
      }
      throw new DatabaseUnavailableError('the commit of the group failed', { cause: error });
    }
  }
}

/** The outcome of one group. The units of the group wait for this outcome. */
class Group {
  succeed!: () => void;
  fail!: (error: unknown) => void;
  readonly committed = new Promise<void>((resolve, reject) => {
    this.succeed = resolve;
    this.fail = reject;
  });

  constructor() {
    // If every unit of the group rolled back, no code waits for the outcome, and a rejection would be unhandled.
    this.committed.catch(() => {});
  }
}
