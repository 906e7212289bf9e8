import { findCause, isFromDatabase } from '../../database/error-kinds.js';
import type { ClaimResult } from '../../store/store.js';
import { type MaybePromise, then, thenOrCatch } from '../../timing/maybe-promise.js';
import { within } from '../../timing/timeout.js';
import type { ExceededQuota } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import type { Quotas, Slot } from '../store-access/quotas.js';
import type { FormsInUse, StoredForms } from '../store-access/stored-forms.js';
import { hasRecord, isReused, type LookUp, lookUp } from './look-up.js';

/** How long the look-up of an operation that could not be claimed may take, in milliseconds. */
const MAX_LOOK_UP_MS = 1_000;

/** Thrown when the store was unavailable for a claim. The handler has not run. */
export class ClaimError extends Error {
  override name = 'ClaimError';
}

/** The result of a claim, and the operation as the store received it. */
export interface ClaimAttempt {
  /** The operation in the form of its record: see `StoredForm`. Its scope and fingerprint may be under a pepper. */
  readonly operation: Operation;
  readonly result: ClaimResult;
  /** When the claim was sent, by `performance.now()`. */
  readonly sentAt: number;
}

/** The wait of a call that claims repeatedly. */
export interface Pause {
  /**
   * Pauses before the next claim. Resolves to false when the time of the wait has ended.
   * @throws Refusal IDEMPOTENCY_KEY_IN_PROGRESS when too many calls wait
   */
  before(attempt: number): Promise<boolean>;
  /** Ends the wait, if a pause has begun it. Another pause may follow. */
  end(): void;
}

/** Claims operations. While another server executes the operation, the claim is repeated until the wait is over. */
export class Claimer {
  readonly #store: ObservedStore;
  readonly #forms: StoredForms;
  readonly #quotas: Quotas;

  constructor(store: ObservedStore, forms: StoredForms, quotas: Quotas) {
    this.#store = store;
    this.#forms = forms;
    this.#quotas = quotas;
  }

  /**
   * Claims an operation. The result is there at once if the store need not wait.
   * @param slot the slot of the call among the in-flight calls of its scope
   * @throws ClaimError when the store is unavailable
   * @throws Refusal IDEMPOTENCY_QUOTA_EXCEEDED when a quota of the scope is exceeded
   */
  claim(requested: Operation, pause: Pause, slot: Slot): MaybePromise<ClaimAttempt> {
    return thenOrCatch(
      () => this.#forms.inUse(),
      (forms) =>
        forms.areFinalFor(requested)
          ? this.#claim(forms.newRecord(requested), requested, pause, slot)
          : this.#claimAmongForms(forms, requested, pause, slot),
      failAsClaim,
    );
  }

  /**
   * Claims an operation in the form of its record, or in the form of new records. A new record never begins in an earlier
   * form: another server may already have found no record in that form.
   */
  #claimAmongForms(
    forms: FormsInUse,
    requested: Operation,
    pause: Pause,
    slot: Slot,
  ): MaybePromise<ClaimAttempt> {
    const recorded = forms.mayHaveEarlier(requested)
      ? this.#inRecordedForm(forms, requested, pause).catch(failAsClaim)
      : undefined;
    return then(recorded, (found) => {
      const operation = found ?? forms.newRecord(requested);
      return then(this.#claim(operation, requested, pause, slot), (attempt) => {
        const { result } = attempt;
        if (result.outcome === 'superseded') return this.#claimAgain(forms, requested, pause, slot);
        // The record of a key was deleted after it was found. A series keeps its record when a claim is released.
        const isNew = found && result.outcome === 'claimed' && !result.claim.takenOver && !found.series;
        if (!isNew) return attempt;
        return then(this.#store.release(result.claim), () =>
          this.#claimAmongForms(forms, requested, pause, slot),
        );
      });
    });
  }

  /** Claims an operation after another server has changed the form of new records. */
  async #claimAgain(
    earlier: FormsInUse,
    requested: Operation,
    pause: Pause,
    slot: Slot,
  ): Promise<ClaimAttempt> {
    const forms = await this.#forms.read().catch(failAsClaim);
    if (forms.ofNewRecords === earlier.ofNewRecords)
      throw new ClaimError('the form of new records could not be read');
    return this.#claimAmongForms(forms, requested, pause, slot);
  }

  /**
   * Resolves to the operation in the earlier form of its record, or to undefined if it has none.
   * @throws Refusal IDEMPOTENCY_KEY_IN_PROGRESS when the wait ends while a transaction hides a record
   */
  async #inRecordedForm(
    forms: FormsInUse,
    requested: Operation,
    pause: Pause,
  ): Promise<Operation | undefined> {
    try {
      for (let attempt = 0; ; attempt++) {
        if (await hasRecord(this.#store, forms.newRecord(requested))) return undefined;
        let mayBeHidden = false;
        for (const stored of forms.earlier(requested)) {
          if (await hasRecord(this.#store, stored)) return Object.freeze(stored);
          mayBeHidden ||= await this.#isClaimed(stored);
        }
        if (!mayBeHidden) return undefined;
        if (!(await pause.before(attempt))) throw refusals.inProgress(0);
      }
    } finally {
      pause.end();
    }
  }

  /**
   * Resolves to whether another server has claimed an operation in a transaction that is not visible yet. A claim waits for
   * such a transaction. If the claim is granted, it is rolled back at once.
   */
  async #isClaimed(stored: Operation): Promise<boolean> {
    if (stored.series && stored.series.sequence > 1n) return false;
    const result = await this.#store.claim({ ...stored, atomicity: 'TRANSACTION' });
    if (result.outcome !== 'claimed') return ['in-progress', 'completed', 'erased'].includes(result.outcome);
    await this.#store.release(result.claim);
    return result.claim.takenOver;
  }

  /**
   * @param operation the operation as the store receives it
   * @param requested the operation as the call names it, whose scope the quotas count
   */
  #claim(operation: Operation, requested: Operation, pause: Pause, slot: Slot): MaybePromise<ClaimAttempt> {
    const { scope } = requested;
    const sentAt = performance.now();
    return thenOrCatch(
      () => this.#attempt(operation, scope, false, slot),
      (result) => {
        const first = { operation, result, sentAt };
        return mayEnd(first)
          ? this.#repeat(first, scope, pause, slot).catch(failAsClaim)
          : this.#counted(first, scope);
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
  async #repeat(first: ClaimAttempt, scope: string, pause: Pause, slot: Slot): Promise<ClaimAttempt> {
    const { operation } = first;
    let last = first;
    // The call also waits while it claims. Otherwise a later call could wait in its stead.
    try {
      for (let attempt = 0; mayEnd(last) && (await pause.before(attempt)); attempt++) {
        const sentAt = performance.now();
        last = { operation, result: await this.#attempt(operation, scope, true, slot), sentAt };
      }
    } finally {
      pause.end();
    }
    return this.#counted(last, scope);
  }

  /** Adds the key of a granted claim to the live keys of its scope. */
  #counted(attempt: ClaimAttempt, scope: string): ClaimAttempt {
    const { operation, result } = attempt;
    if (result.outcome === 'claimed' && isNewRecord(operation)) this.#quotas.addLiveKey(scope);
    return attempt;
  }

  /**
   * Claims once. A repeated claim begins with a look-up, because a claim would wait for a row that an execution has
   * locked.
   */
  #attempt(operation: Operation, scope: string, isRepeated: boolean, slot: Slot): MaybePromise<ClaimResult> {
    return then(this.#quotas.exceeded(scope, slot), (exceeded) =>
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
