import { isTooFarAhead, isTooOld } from '../first-sent.js';
import type { ClaimRequest, FoundProducer, NotClaimed, SeriesPosition } from '../store.js';
import { SequenceWindow } from './sequence-window.js';

/** A request for a place in a series. */
export type SequenceRequest = ClaimRequest & { readonly series: SeriesPosition };

export function isSequenceRequest(request: ClaimRequest): request is SequenceRequest {
  return request.series !== undefined;
}

/** What a call is told of its place, or that it may be claimed. */
export type SequenceDecision = NotClaimed | { readonly outcome: 'claimable' };

type Running = NonNullable<FoundProducer['running']>;

/** The highest sequence that a series may begin with: producers count from 0 or from 1. */
const HIGHEST_FIRST = 1n;

/**
 * Judges a place by the record of its series. The statement that claims a place decides alike, see
 * `series-text.ts`, and has the last word.
 * @param found undefined where nothing is retained
 * @param now by the store's clock, in milliseconds since the epoch
 */
export function decideSequence(
  asked: SequenceRequest,
  found: FoundProducer | undefined,
  now: number,
): SequenceDecision {
  if (isTooFarAhead(asked, now)) return { outcome: 'expired' };
  const verdict = decideByRecord(asked, found);
  if (verdict.outcome !== 'claimable' || !isTooOld(asked, now)) return verdict;
  // As with keys: an execution that was left behind is in progress to who comes too late to take it over.
  const { epoch, sequence } = asked.series;
  const isBehind = found?.epoch === epoch && found.running?.sequence === sequence;
  return isBehind && found.running ? inProgress(found.running) : { outcome: 'expired' };
}

/** Judges a place without regard to when the operation was first sent. */
export function decideByRecord(asked: SequenceRequest, found: FoundProducer | undefined): SequenceDecision {
  const { epoch, sequence } = asked.series;
  if (!found) return sequence <= HIGHEST_FIRST ? { outcome: 'claimable' } : { outcome: 'gap' };
  if (epoch < found.epoch) return { outcome: 'fenced', epoch: found.epoch };
  if (epoch > found.epoch) return judgeNewEpoch(sequence, found);
  if (sequence <= found.completed) return fromWindow(sequence, found);
  return found.running ? judgeBeside(asked, found, found.running) : judgeNext(sequence, found);
}

function judgeNewEpoch(sequence: bigint, found: FoundProducer): SequenceDecision {
  if (sequence > HIGHEST_FIRST) return { outcome: 'gap' };
  // What is under way is not rolled back: the new epoch begins when it has ended.
  return isHeld(found) ? withoutFingerprint(found) : { outcome: 'claimable' };
}

function fromWindow(sequence: bigint, { replies, completed, expiresAtMs }: FoundProducer): SequenceDecision {
  try {
    const kept = SequenceWindow.read(replies, completed).find(sequence);
    return kept ? { outcome: 'completed', ...kept, expiresAtMs } : { outcome: 'outdated' };
  } catch {
    return { outcome: 'unreadable' };
  }
}

/** While a sequence is executed, or its execution was left behind. */
function judgeBeside(
  { series: { sequence }, fingerprint }: SequenceRequest,
  found: FoundProducer,
  running: Running,
): SequenceDecision {
  if (sequence === running.sequence) {
    const isOrphan = !isHeld(found) && running.fingerprint.equals(fingerprint);
    return isOrphan ? { outcome: 'claimable' } : inProgress(running);
  }
  // The series began with 1, so 0 was never there.
  if (sequence < running.sequence) return { outcome: 'outdated' };
  if (!isHeld(found)) return gapAt(running.sequence, sequence);
  const isNext = sequence === running.sequence + 1n;
  return isNext ? withoutFingerprint(found) : { outcome: 'gap', expected: running.sequence + 1n };
}

function judgeNext(sequence: bigint, { completed }: FoundProducer): SequenceDecision {
  if (completed < 0n) return sequence <= HIGHEST_FIRST ? { outcome: 'claimable' } : { outcome: 'gap' };
  const expected = completed + 1n;
  return sequence === expected ? { outcome: 'claimable' } : gapAt(expected, sequence);
}

/** A call that waits for its turn asks for what comes right after the one that is executed. */
const gapAt = (expected: bigint, sequence: bigint): SequenceDecision => ({
  outcome: 'gap',
  expected,
  ...(expected === sequence - 1n && { mayBeHidden: true }),
});

const isHeld = ({ running }: FoundProducer) => running !== undefined && running.leaseLeftMs > 0;

function inProgress({ fingerprint, ageMs, leaseLeftMs }: Running): NotClaimed {
  return { outcome: 'in-progress', fingerprint, ageMs, leaseLeftMs };
}

/** In progress is another operation than the one that was asked for: its payload says nothing of this one's. */
const withoutFingerprint = ({ running }: FoundProducer): SequenceDecision => ({
  outcome: 'in-progress',
  ageMs: running?.ageMs ?? 0,
  leaseLeftMs: running?.leaseLeftMs ?? 0,
});

/** Whether the verdict holds, whatever else a claim would find. */
export function isFinal(verdict: SequenceDecision): verdict is NotClaimed {
  return verdict.outcome !== 'claimable' && !(verdict.outcome === 'gap' && verdict.mayBeHidden);
}
