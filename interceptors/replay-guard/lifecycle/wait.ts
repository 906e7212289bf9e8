import { setTimeout as delay } from 'node:timers/promises';
import type { GuardedCall } from '../call/guarded-call.js';

const LONGEST_MARGIN_MS = 100;

/** How long a call may still wait: by its method's policy and its own deadline, until its caller leaves. */
export class Wait {
  readonly #since = performance.now();
  readonly #until: number;
  readonly #gone: AbortSignal;
  readonly #closing: AbortSignal;

  /**
   * @param closing aborted when nobody may wait any more
   * @param limitMs as the method's policy has it, unless it is another wait than a duplicate's
   */
  constructor(call: GuardedCall, closing: AbortSignal, limitMs = call.method.policy.waitMs) {
    const { remainingMs } = call;
    // An answer that leaves at the deadline arrives after it.
    const inTimeMs = remainingMs - Math.min(remainingMs / 10, LONGEST_MARGIN_MS);
    this.#until = this.#since + Math.min(limitMs, inTimeMs);
    this.#gone = call.gone;
    this.#closing = closing;
  }

  /** How long it has lasted so far, in milliseconds. */
  get elapsedMs(): number {
    return performance.now() - this.#since;
  }

  /** Milliseconds; 0 where the wait is over. */
  get remainingMs(): number {
    if (this.#gone.aborted || this.#closing.aborted) return 0;
    return Math.max(this.#until - performance.now(), 0);
  }

  /** Pauses before the next look at the store. False where the wait is over. */
  async pause(attempt: number): Promise<boolean> {
    if (this.remainingMs === 0) return false;
    const ms = Math.min(pauseMs(attempt), this.remainingMs);
    await delay(ms, undefined, { signal: this.#gone }).catch(() => {});
    return !this.#gone.aborted;
  }

  /** What `promise` resolves to, or undefined where the wait is over first. */
  async for<T>(promise: Promise<T>): Promise<T | undefined> {
    const over = new AbortController();
    const leave = () => over.abort();
    this.#gone.addEventListener('abort', leave);
    try {
      const limit = delay(this.remainingMs, undefined, { signal: over.signal }).catch(() => undefined);
      return await Promise.race([promise, limit]);
    } finally {
      over.abort();
      this.#gone.removeEventListener('abort', leave);
    }
  }
}

/** From 10 ms, doubling up to 250 ms, with jitter so that servers do not ask in step. */
function pauseMs(attempt: number): number {
  return Math.min(10 * 2 ** attempt, 250) * (0.5 + Math.random() / 2);
}
