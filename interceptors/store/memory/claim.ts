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
  #hasEnded = false;

  constructor(record: ClaimedRecord) {
    this.#record = record;
    this.takenOver = record.takenOver;
    this.expiresAtMs = record.expiresAtMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  run<T>(work: () => T): T {
    return work();
  }

  async complete(reply: Buffer): Promise<void> {
    this.#hasEnded = true;
    if (!this.#record.isOwned()) throw leaseLost();
    // Copy the reply, because the caller may reuse its buffer.
    this.#record.complete(Buffer.from(reply));
  }

  fail(reply: Buffer): Promise<void> {
    return this.complete(reply);
  }

  async release(): Promise<void> {
    this.#hasEnded = true;
    if (this.#record.isOwned()) this.#record.release();
  }

  async renew(): Promise<void> {
    if (this.#hasEnded) return;
    if (!this.#record.isOwned()) {
      const reason = leaseLost();
      this.#lost.abort(reason);
      throw reason;
    }
    this.#record.renew();
  }
}

function leaseLost(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
