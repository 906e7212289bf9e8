import { type Deadline, deadlines } from '../../../timing/deadlines.js';
import { NoConnectionError } from '../../errors.js';

/** How often a pool is checked while users wait, in milliseconds. */
const CHECK_MS = 100;
/** The number of checks in a row without an event after which a waiting user fails. */
const MAX_STILL_CHECKS = 10;

/** A part of this process that waits for a connection, such as a unit of work. */
export interface Waiter<C> {
  use(connection: C): void;
  /** Called when the user gets no connection. */
  fail(error: Error): void;
  /** Called when the user can never get a connection. */
  refuse(error: Error): void;
}

/**
 * The use of one pool by this process: the users that wait for a connection, and the progress of the others.
 *
 * A pool is stalled if open transactions hold all of its connections and send nothing. Their handlers then wait for
 * something else. A handler may have called its own process. That call then waits for a connection of the same pool,
 * and neither can continue. In a stalled pool the last user that began to wait fails. This user is probably such a
 * call, so the transaction of the handler rolls back. The connection of that transaction goes to the last of the other
 * users, until no user waits. Otherwise new calls would take each connection that becomes free, and no call would ever
 * end.
 */
export class PoolUse<C> {
  readonly #maxConnections: number;
  readonly #waiters: Waiter<C>[] = [];
  /** The number of connections that are checked out. */
  #connections = 0;
  /** The number of batches that have no answer yet. */
  #unanswered = 0;
  #answers = 0;
  /** The number of batches that have ended without an answer. */
  #losses = 0;
  /** Counts the events that show progress. */
  #events = 0;
  #wasStalled = false;
  /** The number of users that have failed here and that the pool still counts as waiting. */
  #failed = 0;
  #check: Deadline | undefined;
  #stillChecks = 0;

  constructor(maxConnections: number) {
    this.#maxConnections = maxConnections;
  }

  /** How many users wait for a connection. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** The number of answers of the database so far. */
  get answers(): number {
    return this.#answers;
  }

  /** The number of batches so far that have ended without an answer. */
  get losses(): number {
    return this.#losses;
  }

  checkedOut(): void {
    this.#connections++;
    this.#events++;
  }

  released(): void {
    this.#connections--;
    this.#events++;
  }

  sent(): void {
    this.#unanswered++;
    this.#events++;
  }

  /** @param isAnswered whether the server has answered. If not, the connection is lost, or a time limit has passed. */
  ended(isAnswered: boolean): void {
    this.#unanswered--;
    if (isAnswered) this.#answers++;
    else this.#losses++;
    this.#events++;
  }

  /**
   * Whether the database works, although the pool has provided no connection.
   * @param answers `answers` before the wait
   * @param losses `losses` before the wait
   */
  isBusySince(answers: number, losses: number): boolean {
    if (this.#losses > losses) return false;
    return this.#connections > 0 && (this.#unanswered === 0 || this.#answers > answers);
  }

  /** Adds a user that waits. @param isFull whether the pool has no connection for the user */
  add(waiter: Waiter<C>, isFull: boolean): void {
    this.#waiters.push(waiter);
    if (isFull) this.#check ??= this.#checkLater();
  }

  /** Removes and returns the user that gets a connection. Undefined if no user waits any more. */
  next(): Waiter<C> | undefined {
    const waiter = this.#wasStalled ? this.#waiters.pop() : this.#waiters.shift();
    if (this.#waiters.length === 0) this.#wasStalled = false;
    if (!waiter) this.#failed--;
    return waiter;
  }

  /** Removes and returns the user for which the pool has no connection. Undefined if that user has failed already. */
  nextWithout(): Waiter<C> | undefined {
    if (this.#failed === 0) return this.#waiters.shift();
    this.#failed--;
    return undefined;
  }

  #checkLater(): Deadline {
    const before = this.#events;
    return deadlines.set(CHECK_MS, () => {
      const isStill = this.#events === before && this.#unanswered === 0;
      const isFull = this.#connections >= this.#maxConnections;
      this.#stillChecks = isStill && isFull ? this.#stillChecks + 1 : 0;
      // If the failure of one user does not help, each further check fails another one.
      if (this.#stillChecks >= MAX_STILL_CHECKS) this.#failLast();
      this.#check = this.#waiters.length > 0 ? this.#checkLater() : undefined;
      if (!this.#check) this.#stillChecks = 0;
    });
  }

  #failLast(): void {
    const last = this.#waiters.pop();
    if (!last) return;
    this.#wasStalled = true;
    this.#failed++;
    const text =
      `open transactions hold all ${this.#maxConnections} connections of the pool and wait for something else; ` +
      'a handler that calls a guarded method of its own process needs atomicity LEASE or a larger pool';
    last.fail(new NoConnectionError(text));
  }
}
