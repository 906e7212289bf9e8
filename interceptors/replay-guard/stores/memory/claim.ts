import { LeaseLostError } from '../errors.js';
import type { Claim } from '../store.js';
import type { MemoryRecord } from './record.js';

/** A claim on a record in memory. */
export class MemoryClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  readonly lost: AbortSignal = new AbortController().signal;
  readonly #records: Map<string, MemoryRecord>;
  readonly #key: string;
  readonly #record: MemoryRecord;

  constructor(records: Map<string, MemoryRecord>, key: string, record: MemoryRecord, takenOver: boolean) {
    this.#records = records;
    this.#key = key;
    this.#record = record;
    this.takenOver = takenOver;
    this.expiresAtMs = record.expiresAtMs;
  }

  run<T>(work: () => T): T {
    return work();
  }

  async complete(reply: Buffer): Promise<void> {
    if (!this.#owned) throw new LeaseLostError('the key was taken over before this execution ended');
    this.#record.reply = Buffer.from(reply);
  }

  fail(reply: Buffer): Promise<void> {
    return this.complete(reply);
  }

  async release(): Promise<void> {
    if (this.#owned) this.#records.delete(this.#key);
  }

  get #owned(): boolean {
    return this.#records.get(this.#key) === this.#record && this.#record.reply === undefined;
  }
}
