import { LeaseLostError } from '../../database/errors.js';
import type { Claim } from '../store.js';

/** What a claim in memory is on. */
export interface MemorySlot {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  /** Whether it is still this claim's. */
  isOwned(): boolean;
  /** Keeps what the claim is completed with. */
  complete(kept: Buffer): void;
  release(): void;
  /** Has it trusted for another lease from now on. */
  renew(): void;
}

/** A claim on a record in memory. */
export class MemoryClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  readonly #slot: MemorySlot;
  readonly #lost = new AbortController();
  #ended = false;

  constructor(slot: MemorySlot) {
    this.#slot = slot;
    this.takenOver = slot.takenOver;
    this.expiresAtMs = slot.expiresAtMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  run<T>(work: () => T): T {
    return work();
  }

  async complete(reply: Buffer): Promise<void> {
    this.#ended = true;
    if (!this.#slot.isOwned()) throw lost();
    // A copy: the caller may reuse its buffer.
    this.#slot.complete(Buffer.from(reply));
  }

  fail(reply: Buffer): Promise<void> {
    return this.complete(reply);
  }

  async release(): Promise<void> {
    this.#ended = true;
    if (this.#slot.isOwned()) this.#slot.release();
  }

  async renew(): Promise<void> {
    if (this.#ended) return;
    if (!this.#slot.isOwned()) {
      const reason = lost();
      this.#lost.abort(reason);
      throw reason;
    }
    this.#slot.renew();
  }
}

function lost(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
