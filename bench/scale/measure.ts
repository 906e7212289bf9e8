import { randomBytes } from 'node:crypto';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import type { ClaimRequest, IdempotencyStore } from 'grpc-replay-guard/store';
import type { FilledRecord } from './fill.js';

/** Calls that run at the same time while expired records are purged. */
const CLIENTS = 4;
/** How long calls are measured before the purge, in milliseconds. */
const BEFORE_MS = 3_000;
/** Calls before each measurement. `measureReplays` uses records for them. */
export const WARM_UP_CALLS = 200;
const REPLY = Buffer.alloc(24, 'r');

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

/** Measures the claim and the completion of new keys, one after another. */
export async function measureNewKeys(store: IdempotencyStore, calls: number): Promise<Latency> {
  return measured(calls, () => executeNewKey(store));
}

/** Measures claims of completed keys, one after another. Each key is used once, so its pages may not be cached. */
export async function measureReplays(
  store: IdempotencyStore,
  records: readonly FilledRecord[],
): Promise<Latency> {
  let index = 0;
  return measured(records.length - WARM_UP_CALLS, async () => {
    const result = await store.claim(requestOf(records[index++] as FilledRecord));
    if (result.outcome !== 'completed') throw new Error(`the claim of a completed key was ${result.outcome}`);
  });
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

async function measured(calls: number, call: () => Promise<void>): Promise<Latency> {
  const histogram = createHistogram();
  for (let count = 0; count < WARM_UP_CALLS; count++) await call();
  for (let count = 0; count < calls; count++) await recorded(histogram, call);
  return latencyOf(histogram);
}

async function recorded(histogram: RecordableHistogram, call: () => Promise<void>): Promise<void> {
  const start = performance.now();
  await call();
  histogram.record(Math.max(1, Math.round((performance.now() - start) * 1_000)));
}

function latencyOf(histogram: RecordableHistogram): Latency {
  return {
    p50Ms: histogram.percentile(50) / 1_000,
    p99Ms: histogram.percentile(99) / 1_000,
    maxMs: histogram.max / 1_000,
  };
}

async function executeNewKey(store: IdempotencyStore): Promise<void> {
  const result = await store.claim(
    requestOf({ scope: 'scale', id: randomBytes(32), fingerprint: randomBytes(32) }),
  );
  if (result.outcome !== 'claimed') throw new Error(`the claim of a new key was ${result.outcome}`);
  await result.claim.complete(REPLY);
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
