import { LeaseLostError } from '../../database/errors.js';
import type { Claim } from '../store.js';

/** The access of a `MemoryClaim` to its record. */
export interface ClaimedRecord {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  /** Whether the claim still owns the record. */
  isOwned(): boolean;
  /** Stores the reply of a key, or the window of a series. */
  complete(stored: Buffer): void;
  release(): void;
  /** Extends the lease to its full length from now. */
  renew(): void;
}

/** A claim on a record in memory. */
export class MemoryClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  readonly #record: ClaimedRecord;
  readonly #lost = new AbortController();
  #onLost: ((reason: Error) => void) | undefined;
  #hasEnded = false;

  constructor(record: ClaimedRecord) {
    this.#record = record;
    this.takenOver = record.takenOver;
    this.expiresAtMs = record.expiresAtMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  run<T>(work: () => T, onLost?: (reason: Error) => void): T {
    this.#onLost = onLost;
    return work();
  }

  async complete(reply: Buffer): Promise<void> {
    this.#hasEnded = true;
    if (!this.#record.isOwned()) throw leaseLost();
    // Copy the reply, because the caller may reuse its buffer.
    this.#record.complete(Buffer.from(reply));
  }

  async fail(reply: Buffer): Promise<undefined> {
    await this.complete(reply);
  }

  release(): void {
    this.#hasEnded = true;
    if (this.#record.isOwned()) this.#record.release();
  }

  async renew(): Promise<void> {
    if (this.#hasEnded) return;
    if (!this.#record.isOwned()) {
      const reason = leaseLost();
      this.#lost.abort(reason);
      this.#onLost?.(reason);
      throw reason;
    }
    this.#record.renew();
  }
}

function leaseLost(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
