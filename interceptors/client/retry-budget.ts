import { parseTime } from '../protocol/rfc3339.js';
import type { Intent } from './intent.js';
import type { CompleteOptions } from './send-options.js';

const MAX_MARGIN_MS = 5 * 60 * 1_000;

/** Tracks the time in which an operation may still be sent. The caller and the retention of the key limit this time. */
export class RetryBudget {
  readonly #options: CompleteOptions;
  #retentionEndMs: number;
  #spentMs = 0;
  #lastReadMs: number;

  /** The retry budget starts at once. */
  constructor(options: CompleteOptions, { firstSent }: Intent) {
    const now = options.clock.now();
    this.#options = options;
    this.#lastReadMs = now;
    this.#retentionEndMs = (parseTime(firstSent ?? '') ?? now) + options.retentionMs;
  }

  /**
   * Returns the remaining time in milliseconds, 0 or less at the end. If the clock is set back, the remaining time
   * does not grow.
   */
  remainingMs(): number {
    const now = this.#options.clock.now();
    this.#spentMs += Math.max(0, now - this.#lastReadMs);
    this.#lastReadMs = now;
    return Math.min(this.#options.retryBudgetMs - this.#spentMs, this.#lastSafeMs - now);
  }

  /** Whether the server certainly still retains the key in `ms` milliseconds. */
  isKeyRetainedIn(ms: number): boolean {
    return this.#options.clock.now() + ms < this.#lastSafeMs;
  }

  /** Replaces the assumed end of the retention with the end that the server sent. Undefined has no effect. */
  setRetentionEnd(expiresAt: Date | undefined): void {
    if (expiresAt) this.#retentionEndMs = expiresAt.getTime();
  }

  get #lastSafeMs(): number {
    return this.#retentionEndMs - Math.min(this.#options.retentionMs / 10, MAX_MARGIN_MS);
  }
}
