import { isTooFarAhead, isTooOld, retainedUntil } from '../first-sent.js';
import { isSequenceRequest } from '../producer/sequence-rules.js';
import type {
  Claim,
  ClaimRequest,
  ClaimResult,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
} from '../store.js';
import { MemoryClaim } from './claim.js';
import { MemoryProducers } from './producers.js';
import type { MemoryRecord } from './record.js';
import { MemoryRecords } from './records.js';

export interface MemoryStoreOptions {
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly clock?: () => number;
}

/**
 * A store in this process's memory, for tests and for servers that may forget their keys at a restart.
 * It has no database: what a handler writes elsewhere does not commit together with its reply.
 */
export class MemoryStore implements IdempotencyStore {
  readonly #records = new MemoryRecords();
  readonly #series: MemoryProducers;
  readonly #clock: () => number;

  constructor(options: MemoryStoreOptions = {}) {
    this.#clock = options.clock ?? Date.now;
    this.#series = new MemoryProducers(this.#clock);
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    if (isSequenceRequest(request)) return this.#series.claim(request);
    const now = this.#clock();
    const id = nameOf(request.id);
    const live = this.#live(id, now);
    if (isTooFarAhead(request, now)) return { outcome: 'expired' };
    if (live && !isOrphaned(live, request, now)) return toFound(live, now);
    if (isTooOld(request, now)) return live ? toFound(live, now) : { outcome: 'expired' };
    return { outcome: 'claimed', claim: this.#claim(id, request, now, live) };
  }

  async find(id: Buffer): Promise<FoundRecord | undefined> {
    const now = this.#clock();
    const live = this.#live(nameOf(id), now);
    return live && toFound(live, now);
  }

  async findProducer(id: Buffer): Promise<FoundProducer | undefined> {
    return this.#series.find(id);
  }

  async purge(limit: number): Promise<number> {
    const now = this.#clock();
    let purged = 0;
    for (const [id, record] of this.#records) {
      if (purged === limit) break;
      if (record.expiresAtMs > now) continue;
      this.#records.delete(id);
      purged++;
    }
    return purged + this.#series.purge(limit - purged);
  }

  async estimateRecords(): Promise<number> {
    return this.#records.size + this.#series.size;
  }

  async countLive(scope: string, atMost: number): Promise<number> {
    const now = this.#clock();
    let count = 0;
    for (const [, { expiresAtMs }] of this.#records.ofScope(scope)) {
      if (count === atMost) break;
      if (expiresAtMs > now) count++;
    }
    return count + this.#series.countLive(scope, atMost - count);
  }

  async erase(scope: string, limit: number): Promise<number> {
    let erased = 0;
    for (const [id, record] of this.#records.ofScope(scope)) {
      if (erased === limit) break;
      if (!record.reply) continue;
      const { createdAtMs, leaseUntilMs, expiresAtMs } = record;
      const fingerprint = Buffer.alloc(32);
      this.#records.set(id, { fingerprint, createdAtMs, leaseUntilMs, expiresAtMs });
      erased++;
    }
    return erased + this.#series.erase(scope, limit - erased);
  }

  async ping(): Promise<void> {}

  #live(id: string, now: number): MemoryRecord | undefined {
    const record = this.#records.get(id);
    return record && record.expiresAtMs > now ? record : undefined;
  }

  #claim(id: string, request: ClaimRequest, now: number, live: MemoryRecord | undefined): Claim {
    const { scope, leaseMs } = request;
    const record: MemoryRecord = {
      scope,
      // A copy: the caller may reuse its buffer.
      fingerprint: Buffer.from(request.fingerprint),
      createdAtMs: now,
      leaseUntilMs: now + leaseMs,
      // No call shortens what an earlier one was promised.
      expiresAtMs: Math.max(live?.expiresAtMs ?? 0, retainedUntil(request, now)),
    };
    this.#records.set(id, record);
    return new MemoryClaim({
      takenOver: live !== undefined,
      expiresAtMs: record.expiresAtMs,
      isOwned: () => this.#records.get(id) === record && record.reply === undefined,
      complete: (reply) => {
        record.reply = reply;
      },
      release: () => this.#records.delete(id),
      renew: () => {
        record.leaseUntilMs = this.#clock() + leaseMs;
      },
    });
  }
}

function nameOf(id: Buffer): string {
  return id.toString('base64');
}

function isOrphaned(record: MemoryRecord, request: ClaimRequest, now: number): boolean {
  const running = !record.reply && record.scope !== undefined;
  return running && record.leaseUntilMs <= now && record.fingerprint.equals(request.fingerprint);
}

function toFound(record: MemoryRecord, now: number): FoundRecord {
  const { fingerprint, reply, expiresAtMs } = record;
  if (record.scope === undefined) return { outcome: 'erased', expiresAtMs };
  if (reply) return { outcome: 'completed', fingerprint, reply, expiresAtMs };
  const [ageMs, leaseLeftMs] = [now - record.createdAtMs, record.leaseUntilMs - now];
  return { outcome: 'in-progress', fingerprint, ageMs, leaseLeftMs };
}
