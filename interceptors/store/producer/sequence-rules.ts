import { mayStart } from '../first-sent.js';
import { hasRunOut } from '../lease.js';
import type { ClaimRequest, FoundProducer, NotClaimed, RecordAddress, SeriesPosition } from '../store.js';
import { SequenceWindow } from './sequence-window.js';

/** A request to claim a position in a series. */
export type SequenceRequest = ClaimRequest & { readonly series: SeriesPosition };

/** Whether a request names a position in a series instead of a key. */
export function isSequenceRequest(request: ClaimRequest): request is SequenceRequest {
  return request.series !== undefined;
}

/** Returns the address of the record that the operations of a series share. */
export function seriesAddress({ scope, series }: SequenceRequest): RecordAddress {
  return { scope, id: series.id };
}

/** The decision on a position: `claimable`, or the reason for a refusal. */
export type SequenceDecision = NotClaimed | { readonly outcome: 'claimable' };

type Running = NonNullable<FoundProducer['running']>;

/** The maximum sequence with which a series may begin. Producers count from 0 or from 1. */
const MAX_INITIAL_SEQUENCE = 1n;

/**
 * Decides from the record of a series whether a position may be claimed. The claim statement of the SQL stores
 * applies the same rules and is authoritative.
 * @param found undefined if no record is retained
 * @param now the time of the store's clock, in milliseconds since the epoch
 * @param retentionNow the time by which the retention is judged. Default: `now`.
 */
export function decideSequence(
  request: SequenceRequest,
  found: FoundProducer | undefined,
  now: number,
  retentionNow = now,
): SequenceDecision {
  const decision = decideByRecord(request, found);
  if (decision.outcome !== 'claimable' || mayStart(request, now, retentionNow)) return decision;
  // A request that may not start an execution cannot take one over. It is refused as in progress, as with keys.
  const { epoch, sequence } = request.series;
  const isSameOperation = found?.epoch === epoch && found.running?.sequence === sequence;
  return isSameOperation && found.running ? inProgress(found.running) : { outcome: 'expired' };
}

/** Decides on a position without a check of the first-sent time. @param found undefined if no record is retained */
export function decideByRecord(request: SequenceRequest, found: FoundProducer | undefined): SequenceDecision {
  const { epoch, sequence } = request.series;
  if (!found) return sequence <= MAX_INITIAL_SEQUENCE ? { outcome: 'claimable' } : { outcome: 'gap' };
  if (epoch < found.epoch) return { outcome: 'fenced', epoch: found.epoch };
  if (epoch > found.epoch) return decideNewEpoch(request, found);
  if (sequence <= found.completed) return fromWindow(sequence, found);
  return found.running ? decideBesideRunning(request, found, found.running) : decideNext(sequence, found);
}

function decideNewEpoch({ series, leaseMs }: SequenceRequest, found: FoundProducer): SequenceDecision {
  if (series.sequence > MAX_INITIAL_SEQUENCE) return { outcome: 'gap' };
  // The running execution is not rolled back. The new epoch begins when the execution has ended.
  return found.running && !hasRunOut(found.running, leaseMs)
    ? withoutFingerprint(found)
    : { outcome: 'claimable' };
}

function fromWindow(sequence: bigint, { replies, completed, expiresAtMs }: FoundProducer): SequenceDecision {
  try {
    const kept = SequenceWindow.read(replies, completed).find(sequence);
    return kept ? { outcome: 'completed', ...kept, expiresAtMs } : { outcome: 'outdated' };
  } catch {
    return { outcome: 'unreadable' };
  }
}

/** Decides on an uncompleted sequence, while the record has an uncompleted execution. */
function decideBesideRunning(
  { series: { sequence }, fingerprint, leaseMs }: SequenceRequest,
  found: FoundProducer,
  running: Running,
): SequenceDecision {
  const isOrphaned = hasRunOut(running, leaseMs);
  if (sequence === running.sequence) {
    const mayBeTakenOver = isOrphaned && running.fingerprint.equals(fingerprint);
    return mayBeTakenOver ? { outcome: 'claimable' } : inProgress(running);
  }
  // The series began with 1, so sequence 0 was never executed.
  if (sequence < running.sequence) return { outcome: 'outdated' };
  if (isOrphaned) return gapAt(running.sequence, sequence);
  const isNext = sequence === running.sequence + 1n;
  return isNext ? withoutFingerprint(found) : { outcome: 'gap', expected: running.sequence + 1n };
}

function decideNext(sequence: bigint, { completed }: FoundProducer): SequenceDecision {
  if (completed < 0n) return sequence <= MAX_INITIAL_SEQUENCE ? { outcome: 'claimable' } : { outcome: 'gap' };
  const expected = completed + 1n;
  return sequence === expected ? { outcome: 'claimable' } : gapAt(expected, sequence);
}

/**
 * If only one sequence is missing, another connection may be executing that sequence in a transaction that is not
 * visible.
 */
const gapAt = (expected: bigint, sequence: bigint): SequenceDecision => ({
  outcome: 'gap',
  expected,
  ...(expected === sequence - 1n && { mayBeHidden: true }),
});

function inProgress({ fingerprint, ageMs, leaseLeftMs }: Running): NotClaimed {
  return { outcome: 'in-progress', fingerprint, ageMs, leaseLeftMs };
}

/**
 * The running execution belongs to another operation, so its fingerprint must not be compared with the fingerprint of
 * the request.
 */
const withoutFingerprint = ({ running }: FoundProducer): SequenceDecision => ({
  outcome: 'in-progress',
  ageMs: running?.ageMs ?? 0,
  leaseLeftMs: running?.leaseLeftMs ?? 0,
});

/** Whether a claim would have the same result as this decision, so that no claim is necessary. */
export function isFinal(decision: SequenceDecision): decision is NotClaimed {
  return decision.outcome !== 'claimable' && !(decision.outcome === 'gap' && decision.mayBeHidden);
}
