import { parseTime } from '../protocol/rfc3339.js';
import type { Intent } from './intent.js';
import type { CompleteOptions } from './send-options.js';

const LONGEST_MARGIN_MS = 5 * 60 * 1_000;

/** How much longer an operation may be sent: as long as its caller gives, while the server knows its key. */
export class RetryBudget {
  readonly #options: CompleteOptions;
  #windowEnd: number;
  #spentMs = 0;
  #seenAt: number;

  /** Begins now. */
  constructor(options: CompleteOptions, { firstSent }: Intent) {
    const now = options.clock.now();
    this.#options = options;
    this.#seenAt = now;
    this.#windowEnd = (parseTime(firstSent ?? '') ?? now) + options.retentionMs;
  }

  /** Milliseconds that are left; 0 or less when it is spent. A clock that is set back gives nothing back. */
  leftMs(): number {
    const now = this.#options.clock.now();
    this.#spentMs += Math.max(0, now - this.#seenAt);
    this.#seenAt = now;
    return Math.min(this.#options.budgetMs - this.#spentMs, this.#lastSafe - now);
  }

  /** Whether the server can be trusted to know the key still in so many milliseconds. */
  isOpenIn(ms: number): boolean {
    return this.#options.clock.now() + ms < this.#lastSafe;
  }

  /** The server has said until when it retains the key. */
  retainedUntil(expiresAt: Date | undefined): void {
    if (expiresAt) this.#windowEnd = expiresAt.getTime();
  }

  get #lastSafe(): number {
    return this.#windowEnd - Math.min(this.#options.retentionMs / 10, LONGEST_MARGIN_MS);
  }
}
