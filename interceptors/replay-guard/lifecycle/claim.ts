import { findCause, isFromDatabase } from '../../database/error-kinds.js';
import { hasRunOut } from '../../store/lease.js';
import {
  decideByRecord,
  isFinal,
  isSequenceRequest,
  type SequenceRequest,
  seriesAddress,
} from '../../store/producer/sequence-rules.js';
import type { ClaimResult, FoundRecord, NotClaimed } from '../../store/store.js';
import { type MaybePromise, then, thenOrCatch } from '../../timing/maybe-promise.js';
import { within } from '../../timing/timeout.js';
import type { ExceededQuota } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import type { Quotas, Slot } from '../store-access/quotas.js';

/** How long the look-up of an operation that could not be claimed may take, in milliseconds. */
const MAX_LOOK_UP_MS = 1_000;

/** Thrown when the store was unavailable for a claim. The handler has not run. */
export class ClaimError extends Error {
  override name = 'ClaimError';
}

/** The result of a claim, and the operation under the record id that the claim used. */
export interface ClaimAttempt {
  /** The operation. Its record id belongs to an earlier pepper if the store has a record under that id. */
  readonly operation: Operation;
  readonly result: ClaimResult;
  /** When the claim was sent, by `performance.now()`. */
  readonly sentAt: number;
}

/** Pauses before the next claim. Resolves to false when the wait is over. */
export type Pause = (attempt: number) => Promise<boolean>;

/** The result of a look-up of an operation in the store. */
export interface LookUp {
  /** Whether the store retains a record of the key, or of the producer. */
  readonly isKnown: boolean;
  /** The answer that a claim would receive. Undefined when a claim may succeed. */
  readonly answer?: NotClaimed;
}

/** A record with a reply, or a record whose execution may still store a reply. */
export type AnsweringRecord = Extract<FoundRecord, { outcome: 'completed' | 'in-progress' }>;

/** Claims operations. While another server executes the operation, the claim is repeated until the wait is over. */
export class Claimer {
  readonly #store: ObservedStore;
  readonly #quotas: Quotas;

  constructor(store: ObservedStore, quotas: Quotas) {
    this.#store = store;
    this.#quotas = quotas;
  }

  /**
   * Claims an operation. The result is there at once if the store need not wait.
   * @param slot the slot of the call among the in-flight calls of its scope
   * @throws ClaimError when the store is unavailable
   * @throws Refusal IDEMPOTENCY_QUOTA_EXCEEDED when a quota of the scope is exceeded
   */
  claim(requested: Operation, pause: Pause, slot: Slot): MaybePromise<ClaimAttempt> {
    if (requested.previous.length > 0) return this.#claimUnderRecordedId(requested, pause, slot);
    return this.#claim(requested, pause, slot);
  }

  async #claimUnderRecordedId(requested: Operation, pause: Pause, slot: Slot): Promise<ClaimAttempt> {
    const operation = await this.#atRecordedId(requested).catch(failAsClaim);
    return this.#claim(operation, pause, slot);
  }

  /**
   * Resolves to the operation under the id of its existing record. A record that was created under an earlier pepper
   * keeps its id.
   */
  async #atRecordedId(operation: Operation): Promise<Operation> {
    for (const ids of operation.previous) {
      const recorded = { ...operation, ...ids };
      if (await hasRecord(this.#store, recorded)) return Object.freeze(recorded);
    }
    return operation;
  }

  #claim(operation: Operation, pause: Pause, slot: Slot): MaybePromise<ClaimAttempt> {
    const sentAt = performance.now();
    return thenOrCatch(
      () => this.#attempt(operation, false, slot),
      (result) => {
        const first = { operation, result, sentAt };
        return mayEnd(first) ? this.#repeat(first, pause, slot).catch(failAsClaim) : this.#counted(first);
      },
      (error) => this.#readInstead(operation, sentAt, error),
    );
  }

  /**
   * Answers a claim that has failed with the record of the operation. A database that is read-only, full or damaged may
   * still return the reply of an operation that was executed before.
   * @throws ClaimError when no record can be read
   */
  #readInstead(operation: Operation, sentAt: number, error: unknown): MaybePromise<ClaimAttempt> {
    if (error instanceof Refusal || !findCause(error, isFromDatabase)) return failAsClaim(error);
    return this.#readWithin(operation).then((found) =>
      found?.answer ? { operation, result: found.answer, sentAt } : failAsClaim(error),
    );
  }

  #readWithin(operation: Operation): Promise<LookUp | undefined> {
    const found = lookUp(this.#store, operation).catch(() => undefined);
    return within(found, { ms: MAX_LOOK_UP_MS, otherwise: () => undefined });
  }

  /** Repeats a claim while another execution runs, until the wait is over. */
  async #repeat(first: ClaimAttempt, pause: Pause, slot: Slot): Promise<ClaimAttempt> {
    const { operation } = first;
    let last = first;
    for (let attempt = 0; mayEnd(last) && (await pause(attempt)); attempt++) {
      const sentAt = performance.now();
      last = { operation, result: await this.#attempt(operation, true, slot), sentAt };
    }
    return this.#counted(last);
  }

  /** Adds the key of a granted claim to the live keys of its scope. */
  #counted(attempt: ClaimAttempt): ClaimAttempt {
    const { operation, result } = attempt;
    if (result.outcome === 'claimed' && isNewRecord(operation)) this.#quotas.addLiveKey(operation.scope);
    return attempt;
  }

  /**
   * Claims once. A repeated claim begins with a look-up, because a claim would wait for a row that an execution has
   * locked.
   */
  #attempt(operation: Operation, isRepeated: boolean, slot: Slot): MaybePromise<ClaimResult> {
    return then(this.#quotas.exceeded(operation.scope, slot), (exceeded) =>
      isRepeated || exceeded ? this.#claimAfterLookUp(operation, exceeded) : this.#store.claim(operation),
    );
  }

  async #claimAfterLookUp(operation: Operation, exceeded: ExceededQuota | undefined): Promise<ClaimResult> {
    const found = await lookUp(this.#store, operation);
    if (found.answer) return found.answer;
    // Another call of a known producer does not add a record.
    const needsRoom = exceeded?.quota !== 'live_keys' || !operation.series || !found.isKnown;
    if (exceeded && needsRoom) throw refusals.quotaExceeded(exceeded);
    return this.#store.claim(operation);
  }
}

/** @throws Refusal, or ClaimError for any other failure of a claim */
function failAsClaim(cause: unknown): never {
  throw cause instanceof Refusal ? cause : new ClaimError('the store was unavailable', { cause });
}

/** Returns whether the record that stopped the claim belongs to an execution which may end during the wait. */
function mayEnd({ operation, result }: ClaimAttempt): boolean {
  return result.outcome === 'in-progress' && !isReused(operation, result);
}

/**
 * Whether a claim probably adds a record. Each new epoch counts as a new producer, which is exact enough for a quota.
 */
function isNewRecord({ series }: Operation): boolean {
  return series === undefined || series.sequence <= 1n;
}

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

async function hasRecord(store: ObservedStore, operation: Operation): Promise<boolean> {
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
    default:
      return result;
  }
}
