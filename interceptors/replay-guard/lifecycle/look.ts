import { isTooFarAhead } from '../../store/first-sent.js';
import {
  decideByRecord,
  isFinal,
  isSequenceRequest,
  type SequenceRequest,
} from '../../store/producer/sequence-rules.js';
import type { FoundRecord, NotClaimed } from '../../store/store.js';
import type { Operation } from '../operation/operation.js';
import type { RecordAddress } from '../operation/operation-id.js';
import type { ObservedStore } from '../store-access/observed-store.js';

/** What a look at the store tells of an operation. */
export interface Seen {
  /** Whether a record is retained: of the key, or of the producer. */
  readonly isKnown: boolean;
  /** Undefined where a claim might be granted. */
  readonly answer?: NotClaimed;
}

/** Looks what a claim would be answered, without claiming. @throws DatabaseUnavailableError */
export async function look(store: ObservedStore, operation: Operation): Promise<Seen> {
  const seen = isSequenceRequest(operation)
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

async function lookAtSeries(store: ObservedStore, operation: SequenceRequest): Promise<Seen> {
  const found = await store.findProducer(operation.series.id);
  const verdict = decideByRecord(operation, found);
  const answer = isFinal(verdict) && { answer: verdict };
  return { isKnown: found !== undefined, ...answer };
}

/** Whether a record is retained under an identity. @throws DatabaseUnavailableError */
export async function isKnown(store: ObservedStore, { id, series }: RecordAddress): Promise<boolean> {
  return (await (series ? store.findProducer(series.id) : store.find(id))) !== undefined;
}

function mayBeTakenOver(found: FoundRecord): boolean {
  return found.outcome === 'in-progress' && found.leaseLeftMs <= 0;
}
