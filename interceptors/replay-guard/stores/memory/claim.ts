import { LeaseLostError } from '../errors.js';
import type { Claim } from '../store.js';
import type { MemoryRecord } from './record.js';
import type { MemoryRecords } from './records.js';

/** A claim on a record in memory. */
export class MemoryClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  readonly #records: MemoryRecords;
  readonly #id: string;
  readonly #record: MemoryRecord;
  readonly #leaseFromNow: () => number;
  readonly #lost = new AbortController();
  #ended = false;

  /** @param leaseFromNow when a lease that begins now runs out, in milliseconds since the epoch */
  constructor(
    records: MemoryRecords,
    id: string,
    record: MemoryRecord,
    takenOver: boolean,
    leaseFromNow: () => number,
  ) {
    this.#records = records;
    this.#id = id;
    this.#record = record;
    this.#leaseFromNow = leaseFromNow;
    this.takenOver = takenOver;
    this.expiresAtMs = record.expiresAtMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  run<T>(work: () => T): T {
    return work();
  }

  async complete(reply: Buffer): Promise<void> {
    this.#ended = true;
    if (!this.#owned) throw lost();
    this.#record.reply = Buffer.from(reply);
  }

  fail(reply: Buffer): Promise<void> {
    return this.complete(reply);
  }

  async release(): Promise<void> {
    this.#ended = true;
    if (this.#owned) this.#records.delete(this.#id);
  }

  async renew(): Promise<void> {
    if (this.#ended) return;
    if (!this.#owned) {
      const reason = lost();
      this.#lost.abort(reason);
      throw reason;
    }
    this.#record.leaseUntilMs = this.#leaseFromNow();
  }

  get #owned(): boolean {
    return this.#records.get(this.#id) === this.#record && this.#record.reply === undefined;
  }
}

function lost(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
