import type { Identity } from './identity.js';
import type { ObservedStore } from './observed-store.js';
import type { Operation } from './operation.js';
import { isTooFarAhead } from './stores/sent-time.js';
import { isCertain, isForSeries, judgeRecord, type SeriesRequest } from './stores/series/judge.js';
import type { FoundRecord, NotClaimed } from './stores/store.js';

/** What a look at the store tells of an operation. */
export interface Seen {
  /** Whether a record is retained: of the key, or of the producer. */
  readonly isKnown: boolean;
  /** Undefined where a claim might be granted. */
  readonly answer?: NotClaimed;
}

/** Looks what a claim would be answered, without claiming. @throws DatabaseUnavailableError */
export async function look(store: ObservedStore, operation: Operation): Promise<Seen> {
  const seen = isForSeries(operation)
    ? await lookAtSeries(store, operation)
    : await lookAtKey(store, operation);
  // How old the operation is, is judged by the store alone.
  return isTooFarAhead(operation, Date.now()) ? { ...seen, answer: { outcome: 'expired' } } : seen;
}

async function lookAtKey(store: ObservedStore, { id }: Operation): Promise<Seen> {
  const found = await store.find(id);
  const answer = found && !mayBeTakenOver(found) && { answer: found };
  return { isKnown: found !== undefined, ...answer };
}

async function lookAtSeries(store: ObservedStore, operation: SeriesRequest): Promise<Seen> {
  const found = await store.findSeries(operation.series.id);
  const verdict = judgeRecord(operation, found);
  const answer = isCertain(verdict) && { answer: verdict };
  return { isKnown: found !== undefined, ...answer };
}

/** Whether a record is retained under an identity. @throws DatabaseUnavailableError */
export async function isKnown(store: ObservedStore, { id, series }: Identity): Promise<boolean> {
  return (await (series ? store.findSeries(series.id) : store.find(id))) !== undefined;
}

function mayBeTakenOver(found: FoundRecord): boolean {
  return found.outcome === 'in-progress' && found.leaseLeftMs <= 0;
}
