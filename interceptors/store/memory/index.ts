import { assertKnownOptions } from '../../options/known-options.js';
import type { Clock } from '../../timing/clock.js';
import { RetentionClock } from '../../timing/retention-clock.js';
import { steadyClock } from '../../timing/steady-clock.js';
import { mayStart, retainedUntil } from '../first-sent.js';
import { hasRunOut } from '../lease.js';
import { isSequenceRequest } from '../producer/sequence-rules.js';
import type {
  Claim,
  ClaimRequest,
  ClaimResult,
  ErasedBatch,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
  PurgedBatch,
  RecordAddress,
} from '../store.js';
import { MemoryClaim } from './claim.js';
import { MemoryMarks } from './marks.js';
import { MemoryProducers } from './producers.js';
import { addressKey, type MemoryRecord, MemoryRecords } from './records.js';

/** The options of `createMemoryStore`. */
export interface MemoryStoreOptions {
  /**
   * Returns the time in milliseconds since the epoch. Default: `Date.now`, guarded by a steady clock: see
   * `RetentionClock`. A given clock is not guarded, because it must not be set ahead.
   */
  readonly clock?: () => number;
}

/**
 * Creates a store in the memory of this process, for tests and for servers that may lose their keys at a restart. The
 * store has no database: the writes of a handler do not commit together with its reply.
 * @throws TypeError when an option is unknown
 */
export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return new MemoryStore(options);
}

/** The store that `createMemoryStore` returns. */
export class MemoryStore implements IdempotencyStore {
  readonly #records = new MemoryRecords();
  readonly marks = new MemoryMarks(() => this.#latestExpiry());
  readonly #producers: MemoryProducers;
  readonly #clock: Clock;
  /**
   * Judges whether a retention has ended. A clock of the application may not be set ahead, so it needs no steady clock.
   */
  readonly #retentionNow: Clock;

  /** @throws TypeError when an option is unknown */
  constructor(options: MemoryStoreOptions = {}) {
    assertKnownOptions<MemoryStoreOptions>('createMemoryStore', options, { clock: true });
    this.#clock = options.clock ?? Date.now;
    const guarded = new RetentionClock(this.#clock, steadyClock);
    this.#retentionNow = options.clock ?? (() => guarded.now());
    this.#producers = new MemoryProducers(this.#clock, this.#retentionNow);
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    if (request.unless?.some((name) => this.marks.has(name))) return { outcome: 'superseded' };
    if (isSequenceRequest(request)) return this.#producers.claim(request);
    const now = this.#clock();
    const address = addressKey(request);
    const retentionNow = this.#retentionNow();
    const live = this.#live(address, retentionNow);
    if (live && !mayBeTakenOver(live, request, now)) return foundRecord(live, now);
    if (!mayStart(request, now, retentionNow)) return live ? foundRecord(live, now) : { outcome: 'expired' };
    // Too old by the clock, but not by the retention time: the clock may be wrong, so the call is tried again later.
    if (!mayStart(request, now, now))
      return { outcome: 'in-progress', ageMs: 0, leaseLeftMs: request.leaseMs };
    return { outcome: 'claimed', claim: this.#grant(address, request, now, live) };
  }

  async find(address: RecordAddress): Promise<FoundRecord | undefined> {
    const live = this.#live(addressKey(address), this.#retentionNow());
    return live && foundRecord(live, this.#clock());
  }

  async findProducer(address: RecordAddress): Promise<FoundProducer | undefined> {
    return this.#producers.find(address);
  }

  async purge(limit: number): Promise<PurgedBatch> {
    const start = performance.now();
    const now = this.#retentionNow();
    let purged = 0;
    for (const [id, record] of this.#records) {
      if (purged === limit) break;
      if (record.expiresAtMs > now) continue;
      this.#records.delete(id);
      purged++;
    }
    purged += this.#producers.purge(limit - purged);
    // A full batch deletes the first expired records, so the next batch starts from the beginning.
    const busyMs = performance.now() - start;
    return { purged, ...(purged === limit && { next: '' }), busyMs, blocksCalls: true };
  }

  async estimateRecords(): Promise<number> {
    return this.#records.size + this.#producers.size;
  }

  async countLive(scope: string, max: number): Promise<number> {
    const now = this.#clock();
    let count = 0;
    for (const [, { expiresAtMs }] of this.#records.ofScope(scope)) {
      if (count === max) break;
      if (expiresAtMs > now) count++;
    }
    return count + this.#producers.countLive(scope, max - count);
  }

  async erase(scope: string, limit: number): Promise<ErasedBatch> {
    let [erased, skipped] = [0, 0];
    for (const [address, record] of this.#records.ofScope(scope)) {
      if (erased === limit) break;
      if (!record.reply) {
        skipped++;
        continue;
      }
      const { reply: _, ...rest } = record;
      this.#records.set(address, { ...rest, isErased: true, fingerprint: Buffer.alloc(32) });
      erased++;
    }
    erased += this.#producers.erase(scope, limit - erased);
    // A full batch erases the first records, so the next batch starts from the beginning.
    if (erased === limit) return { erased, skipped: 0, next: '' };
    return { erased, skipped: skipped + this.#producers.countRunning(scope) };
  }

  async removeTraces(): Promise<boolean> {
    return true;
  }

  async ping(): Promise<void> {}

  #latestExpiry(): number {
    let latest = this.#producers.latestExpiry();
    for (const [, { expiresAtMs }] of this.#records) latest = Math.max(latest, expiresAtMs);
    return latest;
  }

  #live(address: string, retentionNow: number): MemoryRecord | undefined {
    const record = this.#records.get(address);
    return record && record.expiresAtMs > retentionNow ? record : undefined;
  }

  #grant(address: string, request: ClaimRequest, now: number, live: MemoryRecord | undefined): Claim {
    const { scope, leaseMs } = request;
    const record: MemoryRecord = {
      scope,
      // Copy the fingerprint, because the caller may reuse its buffer.
      fingerprint: Buffer.from(request.fingerprint),
      createdAtMs: now,
      leaseUntilMs: now + leaseMs,
      // A later claim never shortens the retention of an earlier claim.
      expiresAtMs: Math.max(live?.expiresAtMs ?? 0, retainedUntil(request, now)),
    };
    this.#records.set(address, record);
    return new MemoryClaim({
      takenOver: live !== undefined,
      expiresAtMs: record.expiresAtMs,
      isOwned: () => this.#records.get(address) === record && record.reply === undefined,
      complete: (reply) => {
        record.reply = reply;
      },
      release: () => this.#records.delete(address),
      renew: () => {
        record.leaseUntilMs = this.#clock() + leaseMs;
      },
    });
  }
}

function mayBeTakenOver(record: MemoryRecord, request: ClaimRequest, now: number): boolean {
  const isRunning = !record.reply && !record.isErased;
  return (
    isRunning &&
    hasRunOut(timesOf(record, now), request.leaseMs) &&
    record.fingerprint.equals(request.fingerprint)
  );
}

function foundRecord(record: MemoryRecord, now: number): FoundRecord {
  const { fingerprint, reply, expiresAtMs, isErased } = record;
  if (isErased) return { outcome: 'erased', expiresAtMs };
  if (reply) return { outcome: 'completed', fingerprint, reply, expiresAtMs };
  return { outcome: 'in-progress', fingerprint, ...timesOf(record, now) };
}

function timesOf({ createdAtMs, leaseUntilMs }: MemoryRecord, now: number) {
  return { ageMs: now - createdAtMs, leaseLeftMs: leaseUntilMs - now };
}
