import type { ClaimResult } from '../../store/store.js';
import type { Operation } from '../operation/operation.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import type { Quotas } from '../store-access/quotas.js';
import { isKnown, look } from './look.js';

/** The store could not be asked for a key; whatever happened there, the handler was not entered. */
export class ClaimError extends Error {
  override name = 'ClaimError';
}

/** What the store said of an operation, which its record may know by the id of an earlier pepper. */
export interface ClaimAttempt {
  readonly operation: Operation;
  readonly result: ClaimResult;
  /** When the claim was sent, by `performance.now()`. */
  readonly since: number;
}

/** Lets some time pass before the store is asked again; false where that is enough. */
export type Pause = (attempt: number) => Promise<boolean>;

/** Claims keys, asking again while another server is executing and the wait lasts. */
export class Claimer {
  readonly #store: ObservedStore;
  readonly #quotas: Quotas;

  constructor(store: ObservedStore, quotas: Quotas) {
    this.#store = store;
    this.#quotas = quotas;
  }

  /**
   * @param pause false where the wait for another execution is over
   * @param hasPlace whether the call has its place among those in flight
   * @throws ClaimError, Refusal IDEMPOTENCY_QUOTA_EXCEEDED
   */
  async claim(asked: Operation, pause: Pause, hasPlace: boolean): Promise<ClaimAttempt> {
    try {
      const operation = await this.#locate(asked);
      for (let attempt = 0; ; attempt++) {
        const since = performance.now();
        const result = await this.#ask(operation, attempt > 0, hasPlace);
        const mayEnd = result.outcome === 'in-progress' && !isReused(operation, result);
        if (!mayEnd || !(await pause(attempt))) return { operation, result, since };
      }
    } catch (cause) {
      throw cause instanceof Refusal ? cause : new ClaimError('the store could not be asked', { cause });
    }
  }

  /** A record that was made under an earlier pepper goes on under its own id. */
  async #locate(operation: Operation): Promise<Operation> {
    for (const identity of operation.previous) {
      if (await isKnown(this.#store, identity)) return Object.freeze({ ...operation, ...identity });
    }
    return operation;
  }

  /** A key that is known to be in use is looked at first: a claim would wait for its row. */
  async #ask(operation: Operation, again: boolean, hasPlace: boolean): Promise<ClaimResult> {
    const exceeded = await this.#quotas.exceeded(operation.scope, hasPlace);
    if (again || exceeded) {
      const seen = await look(this.#store, operation);
      if (seen.answer) return seen.answer;
      // One more call of a known producer is no further record.
      const needsRoom = exceeded?.quota !== 'live_keys' || !operation.series || !seen.isKnown;
      if (exceeded && needsRoom) throw refusals.quotaExceeded(exceeded);
    }
    const result = await this.#store.claim(operation);
    if (result.outcome === 'claimed' && isNewRecord(operation)) this.#quotas.claimed(operation.scope);
    return result;
  }
}

/** Near enough for a count that may lag: a new epoch counts as a new producer. */
function isNewRecord({ series }: Operation): boolean {
  return series === undefined || series.sequence <= 1n;
}

/** Whether a record belongs to another request under the same key. */
export function isReused(operation: Operation, found: object & { readonly fingerprint?: Buffer }): boolean {
  return found.fingerprint !== undefined && !found.fingerprint.equals(operation.fingerprint);
}
