import { hasRunOut } from '../../store/lease.js';
import {
  decideByRecord,
  isFinal,
  isSequenceRequest,
  type SequenceRequest,
  seriesAddress,
} from '../../store/producer/sequence-rules.js';
import type { FoundRecord, NotClaimed } from '../../store/store.js';
import type { Operation } from '../operation/operation.js';
import { refusals } from '../refusal/refusal.js';
import type { ObservedStore } from '../store-access/observed-store.js';

/** The result of a look-up of an operation in the store. */
export interface LookUp {
  /** Whether the store retains a record of the key, or of the producer. */
  readonly isKnown: boolean;
  /** The answer that a claim would receive. Undefined when a claim may succeed. */
  readonly answer?: NotClaimed;
}

/** A record with a reply, or a record whose execution may still store a reply. */
export type AnsweringRecord = Extract<FoundRecord, { outcome: 'completed' | 'in-progress' }>;

/** Returns whether the record belongs to another request with the same key. */
export function isReused(operation: Operation, found: object & { readonly fingerprint?: Buffer }): boolean {
  return found.fingerprint !== undefined && !found.fingerprint.equals(operation.fingerprint);
}

/**
 * Reads the record of an operation without a claim. A look-up does not check the first-sent time, because only a claim
 * starts an execution.
 * @throws DatabaseUnavailableError when the store is unavailable
 */
export async function lookUp(store: ObservedStore, operation: Operation): Promise<LookUp> {
  return isSequenceRequest(operation) ? lookUpSequence(store, operation) : lookUpKey(store, operation);
}

async function lookUpKey(store: ObservedStore, operation: Operation): Promise<LookUp> {
  const found = await store.find(operation);
  const isOrphaned = found?.outcome === 'in-progress' && hasRunOut(found, operation.leaseMs);
  const answer = found && !isOrphaned && { answer: found };
  return { isKnown: found !== undefined, ...answer };
}

async function lookUpSequence(store: ObservedStore, operation: SequenceRequest): Promise<LookUp> {
  const found = await store.findProducer(seriesAddress(operation));
  const decision = decideByRecord(operation, found);
  const answer = isFinal(decision) && { answer: decision };
  return { isKnown: found !== undefined, ...answer };
}

/** Resolves to whether the store retains a record of the key, or of the producer. */
export async function hasRecord(store: ObservedStore, operation: Operation): Promise<boolean> {
  const found = isSequenceRequest(operation)
    ? store.findProducer(seriesAddress(operation))
    : store.find(operation);
  return (await found) !== undefined;
}

/**
 * Returns the record that prevented a claim.
 * @throws Refusal when no record can answer the call
 */
export function foundOrRefuse(result: NotClaimed): AnsweringRecord {
  switch (result.outcome) {
    case 'expired':
      throw refusals.keyExpired();
    case 'erased':
      throw refusals.replyErased();
    case 'gap':
      throw refusals.sequenceGap(result.expected);
    case 'fenced':
      throw refusals.producerFenced(result.epoch);
    case 'outdated':
      throw refusals.sequenceOutdated();
    case 'unreadable':
      throw refusals.replyUnreadable();
    case 'superseded':
      throw refusals.storeUnavailable();
    default:
      return result;
  }
}
