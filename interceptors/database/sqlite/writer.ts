import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { Row } from '../database.js';
import type { OpenedSession, Statement } from '../engine.js';
import { CommitInDoubtError, DatabaseUnavailableError } from '../errors.js';
import { Waits } from '../load.js';
import { type Connection, retryWhileLocked } from './connection.js';
import type { DatabaseFile } from './database-file.js';
import { isConstraintViolation } from './errors.js';
import { commitError, GroupTransaction } from './group-transaction.js';
import { type SessionGroup, SqliteSession } from './session.js';

/** A unit of work that waits for the writer. */
interface QueuedUnit {
  /** When the wait began, by `performance.now()`. */
  readonly since: number;
  readonly first: Statement | undefined;
  resolve(opened: OpenedSession): void;
  reject(error: unknown): void;
}

/** A unit that waits for the commit. Its statements are part of the open transaction. */
interface CommittingUnit {
  resolve(): void;
  reject(error: unknown): void;
}

/** The limits of a writer. */
export interface WriterLimits {
  /** How many units may share a commit. 1 gives every unit its own. */
  readonly groupLimit: number;
  /** How long a group accepts further units, in milliseconds. */
  readonly groupMs: number;
  /** How long a group waits for another process that writes, in milliseconds. */
  readonly busyTimeoutMs: number;
}

/** How long every unit has its own commit after a constraint failed at a COMMIT, in milliseconds. */
const SEPARATE_COMMITS_MS = 10_000;

/**
 * The only writer of a SQLite database. Units of work run one after another. Units that come while the transaction of
 * a group is open join the group, which shares one transaction and one fsync. The commit of a unit resolves after the
 * group has committed. A lone unit starts at once and commits in the next turn of the event loop.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #file: DatabaseFile | undefined;
  readonly #limits: WriterLimits;
  readonly #transaction: GroupTransaction;
  /** The waits of units for the writer. */
  readonly waits = new Waits();
  readonly #queue: QueuedUnit[] = [];
  /** The units, besides those of the queue, that wait for another process that writes. */
  #opening = 0;
  /** The units of the open group that commit together. */
  #committing: CommittingUnit[] = [];
  /** When the open group stops accepting units, by `performance.now()`. Undefined if no transaction is open. */
  #groupUntil: number | undefined;
  /** Whether a unit holds the writer, or the transaction of a group is being opened. */
  #isBusy = false;
  #isCommitScheduled = false;
  /** Whether `#continue` runs. A unit that fails at its start ends inside of it. */
  #isContinuing = false;
  #separateUntil = 0;
  #whenIdle: (() => void)[] = [];
  /** The tasks that wait until no transaction is open. */
  #tasks: (() => void)[] = [];
  /** The error of the last group. Undefined if its transaction was opened and committed. */
  #lastFailure: unknown;

  /**
   * @param file absent for a database in memory
   * @param beforeCommit runs before each COMMIT. It may run statements and must not throw.
   */
  constructor(
    connection: Connection,
    file: DatabaseFile | undefined,
    limits: WriterLimits,
    beforeCommit: () => void,
  ) {
    this.#connection = connection;
    this.#file = file;
    this.#limits = limits;
    this.#transaction = new GroupTransaction(connection, file, beforeCommit);
  }

  /** How many units wait for the writer, or for another process that writes. */
  get waiting(): number {
    return this.#queue.length + this.#opening;
  }

  /** Whether no transaction is open or being opened on the connection of the writer. */
  get isIdle(): boolean {
    return !this.#isBusy && this.#groupUntil === undefined && !this.#transaction.isOpen;
  }

  /**
   * Checks the file, and the last group if the writer is busy. Runs no statement.
   * @returns whether the writer is free, so that a transaction would not wait
   * @throws DatabaseReplacedError when the file or its write-ahead log was deleted or replaced
   * @throws Error of the last group, if the writer is busy and that group has failed
   */
  check(): boolean {
    this.#file?.assertInPlace();
    if (!this.#isBusy) return true;
    if (this.#lastFailure !== undefined) throw this.#lastFailure;
    return false;
  }

  /** Gives the unit the writer and the rows of `first`: at once if the writer is free, else in a promise. */
  open(first?: Statement): MaybePromise<OpenedSession> {
    if (this.#isBusy || this.#queue.length > 0 || !this.#acceptsUnits()) return this.#enqueue(first);
    if (this.#groupUntil !== undefined) return this.#start(first);
    const begun = this.#begin();
    return begun ? this.#startAfter(begun, first) : this.#start(first);
  }

  async #startAfter(begun: Promise<void>, first: Statement | undefined): Promise<OpenedSession> {
    const since = performance.now();
    this.#opening++;
    try {
      await begun;
    } finally {
      this.#opening--;
      this.waits.ended(since);
    }
    return this.#start(first);
  }

  /** Resolves when no unit runs or waits. */
  async idle(): Promise<void> {
    while (this.#isBusy || this.#queue.length > 0 || this.#groupUntil !== undefined) {
      await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    }
  }

  /** Runs `task` as soon as no transaction is open on the connection: now, or between two groups. */
  betweenGroups<T>(task: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => {
        try {
          resolve(task());
        } catch (error) {
          reject(error);
        }
      });
      if (this.isIdle) this.#runTasks();
    });
  }

  #runTasks(): void {
    if (this.#transaction.isOpen) return;
    for (const run of this.#tasks.splice(0)) run();
  }

  #enqueue(first: Statement | undefined): Promise<OpenedSession> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ since: performance.now(), first, resolve, reject });
      this.#continue();
    });
  }

  /** Whether the open group, or a new one, has room for another unit. */
  #acceptsUnits(): boolean {
    if (this.#groupUntil === undefined) return true;
    const limit = performance.now() < this.#separateUntil ? 1 : this.#limits.groupLimit;
    return this.#committing.length < limit && performance.now() < this.#groupUntil;
  }

  /**
   * Opens the transaction of a group: at once, or after another process has released the file. The writer stays busy, so
   * that no other unit starts between the opening and the unit for which the transaction was opened.
   */
  #begin(): Promise<void> | undefined {
    this.#isBusy = true;
    const opened = () => {
      this.#groupUntil = performance.now() + this.#limits.groupMs;
    };
    const failed = (error: unknown): never => {
      this.#lastFailure = error;
      this.#isBusy = false;
      for (const unit of this.#queue.splice(0)) {
        this.waits.ended(unit.since);
        unit.reject(error);
      }
      this.#notifyIdle();
      throw error;
    };
    try {
      this.#file?.assertNotLost();
      const begun = retryWhileLocked(this.#limits.busyTimeoutMs, () => this.#transaction.begin());
      if (begun instanceof Promise) return begun.then(opened, failed);
      opened();
      return undefined;
    } catch (error) {
      return failed(error);
    }
  }

  /** Gives the writer to a unit and runs its first statement. */
  #start(first: Statement | undefined): OpenedSession {
    this.#isBusy = true;
    let session: SqliteSession | undefined;
    try {
      session = new SqliteSession(this.#connection, this.#sessionGroup, this.#committing.length > 0);
      const rows: Row[] = first ? session.query(first) : [];
      return { session, rows };
    } catch (error) {
      if (session) session.rollback();
      else this.#sessionGroup.rolledBack('undone');
      throw error;
    }
  }

  readonly #sessionGroup: SessionGroup = {
    commit: (rows) =>
      new Promise((resolve, reject) => {
        this.#committing.push({ resolve: () => resolve(rows), reject });
        this.#isBusy = false;
        this.#continue();
      }),
    rolledBack: (end) => {
      this.#isBusy = false;
      // A transaction that could not be rolled back must not commit. The next group rolls it back first.
      this.#transaction.rolledBack(end !== 'left');
      if (end === 'unknown') this.#groupLost(endedByApplication());
      else if (this.#transaction.isLeft || !this.#transaction.isOpen) {
        this.#groupLost(new DatabaseUnavailableError('the transaction was rolled back'));
      }
      this.#continue();
    },
  };

  /** Starts the next unit, or commits the group. */
  #continue(): void {
    // The running loop starts the next unit. A nested call per unit could exceed the stack.
    if (this.#isContinuing) return;
    this.#isContinuing = true;
    while (!this.#isBusy && this.#queue.length > 0) {
      if (!this.#acceptsUnits()) this.#commit();
      if (this.#groupUntil !== undefined || this.#beginQueued()) {
        this.#startQueued(this.#queue.shift() as QueuedUnit);
      }
    }
    this.#isContinuing = false;
    if (!this.#isBusy && this.#groupUntil !== undefined) this.#commitSoon();
    this.#notifyIdle();
  }

  /** Opens a transaction for the queued units. Returns whether it is open; if not, the units wait or were rejected. */
  #beginQueued(): boolean {
    try {
      const begun = this.#begin();
      begun?.then(
        () => {
          this.#isBusy = false;
          this.#continue();
        },
        () => {},
      );
      return !begun;
    } catch {
      return false;
    }
  }

  #startQueued(unit: QueuedUnit): void {
    this.waits.ended(unit.since);
    try {
      unit.resolve(this.#start(unit.first));
    } catch (error) {
      unit.reject(error);
    }
  }

  /** Commits after the sockets were read once: calls that have arrived in the meantime join the commit. */
  #commitSoon(): void {
    if (this.#committing.length > 0 && !this.#acceptsUnits()) {
      this.#commit();
      return;
    }
    if (this.#isCommitScheduled) return;
    this.#isCommitScheduled = true;
    setImmediate(() => {
      this.#isCommitScheduled = false;
      // A unit that has joined commits the group when it ends.
      if (!this.#isBusy && this.#groupUntil !== undefined) this.#commit();
      this.#continue();
    });
  }

  #commit(): void {
    const units = this.#committing;
    try {
      this.#commitTransaction(units.length);
      this.#groupEnded();
      for (const unit of units) unit.resolve();
    } catch (error) {
      this.#groupEnded();
      for (const unit of units) unit.reject(error);
    }
  }

  #commitTransaction(units: number): void {
    if (!this.#transaction.isOpen) {
      if (units === 0) return;
      throw endedByApplication();
    }
    try {
      if (units > 0) this.#transaction.commit();
      else this.#transaction.rollBack();
      this.#lastFailure = undefined;
    } catch (error) {
      this.#lastFailure = error;
      // SQLite does not name the unit that violated the constraint. Separate commits protect the other units.
      if (isConstraintViolation(error)) this.#separateUntil = performance.now() + SEPARATE_COMMITS_MS;
      throw commitError(error, units);
    }
  }

  /** Fails the units that wait for the commit, because the transaction has ended without a commit. */
  #groupLost(error: Error): void {
    const units = this.#committing;
    this.#groupEnded();
    for (const unit of units) unit.reject(error);
  }

  #groupEnded(): void {
    this.#committing = [];
    this.#groupUntil = undefined;
    this.#runTasks();
  }

  #notifyIdle(): void {
    if (this.#isBusy || this.#queue.length > 0 || this.#groupUntil !== undefined) return;
    this.#runTasks();
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}

function endedByApplication(): CommitInDoubtError {
  return new CommitInDoubtError('the application has ended the transaction of the group on its own database');
}
