import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../../timing/backoff.js';
import type { LazySignal } from '../../timing/lazy-signal.js';
import { within } from '../../timing/timeout.js';
import type { GuardedCall } from '../call/guarded-call.js';

/** The maximum time that is reserved for sending the answer before the deadline, in milliseconds. */
const MAX_MARGIN_MS = 100;

/**
 * The pauses between look-ups. Jitter prevents servers that wait for one record from sending look-ups at the same
 * time.
 */
const PAUSE = { initialMs: 10, maxMs: 250 };

/**
 * The time for which a call may wait. The wait ends at its limit, shortly before the deadline, or when the call or
 * the guard ends.
 */
export class Wait {
  readonly #startedAt = performance.now();
  readonly #until: number;
  readonly #callEnded: LazySignal;
  readonly #closing: LazySignal | undefined;

  /**
   * @param closing aborted when the guard closes and no call may wait any longer. Undefined if closing must not end
   *   the wait.
   * @param limitMs the maximum wait, in milliseconds. Default: `waitMs` of the method's policy.
   */
  constructor(call: GuardedCall, closing: LazySignal | undefined, limitMs = call.method.policy.waitMs) {
    const { remainingMs } = call;
    // An answer that is sent at the deadline arrives too late.
    const beforeDeadlineMs = remainingMs - Math.min(remainingMs / 10, MAX_MARGIN_MS);
    this.#until = this.#startedAt + Math.min(limitMs, beforeDeadlineMs);
    this.#callEnded = call.ended;
    this.#closing = closing;
  }

  /** The time since the wait began, in milliseconds. */
  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** The time until the wait is over, in milliseconds; 0 after the wait. */
  get remainingMs(): number {
    if (this.#callEnded.isAborted || this.#closing?.isAborted) return 0;
    return Math.max(this.#until - performance.now(), 0);
  }

  /** Pauses before the next look-up. Resolves to false when the wait is over. */
  async pause(attempt: number): Promise<boolean> {
    if (this.remainingMs === 0) return false;
    const ms = Math.min(backoffMs(PAUSE, attempt, 'half'), this.remainingMs);
    await delay(ms, undefined, { signal: this.#callEnded.signal }).catch(() => {});
    return !this.#callEnded.isAborted;
  }

  /** Resolves to the result of the promise, or to undefined when the wait ends first. */
  resultOf<T>(promise: Promise<T>): Promise<T | undefined> {
    const limit = { ms: this.remainingMs, otherwise: () => undefined };
    // After the call has ended, a result that is ready at once still counts.
    if (this.#callEnded.isAborted) return within(promise, limit);
    return within(promise, { ...limit, signal: this.#callEnded.signal });
  }
}
