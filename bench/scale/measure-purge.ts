import { randomBytes } from 'node:crypto';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import type { ClaimRequest, IdempotencyStore } from 'grpc-replay-guard/store';
import { type FilledRecord, REPLY_BYTES } from './fill.js';

/** Calls that run at the same time while expired records are purged. */
const CLIENTS = 4;
/** How long calls are measured before the purge, in milliseconds. */
const BEFORE_MS = 3_000;
const REPLY = Buffer.alloc(REPLY_BYTES, 'r');

/** The latencies of calls, in milliseconds. */
export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** A purge while calls are served. */
export interface PurgeMeasure {
  readonly latency: Latency;
  /** The same calls directly before the purge. */
  readonly before: Latency;
  readonly purged: number;
  readonly purgedPerSecond: number;
  /** Calls per second during the purge, and directly before it. */
  readonly callsPerSecond: number;
  readonly callsPerSecondBefore: number;
}

/**
 * Measures new keys while the pruner of a guard deletes the expired records, in the same process.
 * @param expired the number of expired records
 * @param maxMs how long the purge may run, in milliseconds
 */
export async function measurePurge(
  store: IdempotencyStore,
  expired: number,
  maxMs: number,
): Promise<PurgeMeasure> {
  const before = await serveWhile(store, (elapsedMs) => elapsedMs < BEFORE_MS);
  let purged = 0;
  const recordsPurged = (count: number) => {
    purged += count;
  };
  const guard = createReplayGuard({
    store,
    scope: singleTenant(),
    purgeEveryMs: 1,
    observer: { recordsPurged },
  });
  try {
    const during = await serveWhile(store, (elapsedMs) => purged < expired && elapsedMs < maxMs);
    return {
      latency: during.latency,
      before: before.latency,
      purged,
      purgedPerSecond: purged / during.seconds,
      callsPerSecond: during.calls / during.seconds,
      callsPerSecondBefore: before.calls / before.seconds,
    };
  } finally {
    await guard.close();
  }
}

interface Served {
  readonly latency: Latency;
  readonly calls: number;
  readonly seconds: number;
}

/** Runs several clients, each of which executes one new key after another while `goesOn` is true. */
async function serveWhile(store: IdempotencyStore, goesOn: (elapsedMs: number) => boolean): Promise<Served> {
  const histogram = createHistogram();
  const start = performance.now();
  const client = async () => {
    while (goesOn(performance.now() - start)) await recorded(histogram, () => executeNewKey(store));
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const seconds = (performance.now() - start) / 1_000;
  return { latency: latencyOf(histogram), calls: histogram.count, seconds };
}

/** Runs one call and records how long it took, in microseconds. */
export async function recorded(histogram: RecordableHistogram, call: () => Promise<void>): Promise<void> {
  const start = performance.now();
  await call();
  histogram.record(Math.max(1, Math.round((performance.now() - start) * 1_000)));
}

/** Returns the latencies of a histogram of microseconds. */
export function latencyOf(histogram: RecordableHistogram): Latency {
  return {
    p50Ms: histogram.percentile(50) / 1_000,
    p99Ms: histogram.percentile(99) / 1_000,
    maxMs: histogram.max / 1_000,
  };
}

/** Claims a new key and completes it. */
export async function executeNewKey(store: IdempotencyStore): Promise<void> {
  const result = await store.claim(
    requestOf({ scope: 'scale', id: randomBytes(32), fingerprint: randomBytes(32) }),
  );
  if (result.outcome !== 'claimed') throw new Error(`the claim of a new key was ${result.outcome}`);
  await result.claim.complete(REPLY);
}

/** Claims a completed key. */
export async function replayRecord(store: IdempotencyStore, record: FilledRecord): Promise<void> {
  const result = await store.claim(requestOf(record));
  if (result.outcome !== 'completed') throw new Error(`the claim of a completed key was ${result.outcome}`);
}

function requestOf({ scope, id, fingerprint }: FilledRecord): ClaimRequest {
  return {
    id,
    scope,
    fingerprint,
    atomicity: 'TRANSACTION',
    leaseMs: 10_000,
    retentionMs: 24 * 3_600_000,
  };
}
