import type { Claim, ClaimRequest, ClaimResult, IdempotencyStore } from '../store.js';
import { MemoryClaim } from './claim.js';
import type { MemoryRecord } from './record.js';

export interface MemoryStoreOptions {
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly clock?: () => number;
}

/**
 * A store in this process's memory, for tests and for servers that may forget their keys at a restart.
 * It has no database: what a handler writes elsewhere does not commit together with its reply.
 */
export class MemoryStore implements IdempotencyStore {
  readonly #records = new Map<string, MemoryRecord>();
  readonly #clock: () => number;

  constructor(options: MemoryStoreOptions = {}) {
    this.#clock = options.clock ?? Date.now;
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    const now = this.#clock();
    const key = request.id.toString('base64');
    const found = this.#records.get(key);
    const live = found && found.expiresAtMs > now ? found : undefined;
    if (live?.reply) {
      return { outcome: 'completed', ...live, reply: live.reply };
    }
    const orphaned = live && live.leaseUntilMs <= now && live.fingerprint.equals(request.fingerprint);
    if (live && !orphaned) {
      return { outcome: 'in-progress', fingerprint: live.fingerprint, ageMs: now - live.createdAtMs };
    }
    return { outcome: 'claimed', claim: this.#claim(key, request, now, live) };
  }

  async purge(limit: number): Promise<number> {
    const now = this.#clock();
    let purged = 0;
    for (const [key, record] of this.#records) {
      if (purged === limit) break;
      if (record.expiresAtMs > now) continue;
      this.#records.delete(key);
      purged++;
    }
    return purged;
  }

  async estimateRecords(): Promise<number> {
    return this.#records.size;
  }

  #claim(key: string, request: ClaimRequest, now: number, previous: MemoryRecord | undefined): Claim {
    const record: MemoryRecord = {
      // A copy: the caller may reuse its buffer.
      fingerprint: Buffer.from(request.fingerprint),
      createdAtMs: now,
      leaseUntilMs: now + request.leaseMs,
      expiresAtMs: now + request.ttlMs,
    };
    this.#records.set(key, record);
    return new MemoryClaim(this.#records, key, record, previous !== undefined);
  }
}
