import { LRUCache } from 'lru-cache';
import { assertKnownOptions } from '../../options/known-options.js';
import { assertWholeNumber } from '../../options/whole-number.js';
import { type MaybePromise, then } from '../../timing/maybe-promise.js';
import type { GuardedCall } from '../call/guarded-call.js';
import type { ExceededQuota } from '../observer.js';
import { scopeContextOf } from '../operation/operation.js';
import type { ScopeContext } from '../scope/scope.js';
import type { ObservedStore } from './observed-store.js';
import type { StoredForms } from './stored-forms.js';

/** Limits for one scope. */
export interface QuotaOptions {
  /**
   * How many calls of one scope may execute or look up a key in this process at the same time. Waiting duplicates have
   * a limit of their own, `waitingPerScope`. At least 1. Default: no limit.
   */
  readonly inFlightPerScope?: number;
  /**
   * How many calls of one scope may wait in this process at the same time: for the execution of the same key, of another
   * server, or of an earlier sequence. Further calls are refused as in progress. At least 1. Default: a tenth of
   * `waiters`, and at most ten times `inFlightPerScope`.
   */
  readonly waitingPerScope?: number;
  /**
   * How many keys of one scope may be retained. All calls of one producer count as one key. The count is up to
   * 5 seconds old, so a burst can exceed the limit. At least 1. Default: no limit.
   */
  readonly liveKeysPerScope?: number;
  /**
   * Returns true for a call that no quota refuses: a call that the server itself makes while it serves a caller. Such a
   * call has the scope of the caller, and the caller's own call already counts. With a quota of 1 the nested call could
   * never succeed. Use a mark that clients cannot send, for example a secret of this process or the certificate of a
   * server. The keys of these calls still count as live keys. Default: no such calls.
   */
  readonly exempt?: (call: ScopeContext) => boolean;
}

/**
 * The slot of a call among the in-flight calls of its scope: the call has taken a slot, or all slots were taken, or no
 * quota applies to the call.
 */
export type Slot = 'taken' | 'none' | 'exempt';

/** The limits of a scope, for error messages and checks. */
const limitNames = ['inFlightPerScope', 'waitingPerScope', 'liveKeysPerScope'] as const;

/** The number of retained keys of one scope. */
interface LiveKeys {
  /**
   * The last count of the store, plus the keys that this process has claimed after that count. Undefined before the
   * first count.
   */
  count?: number;
  /** When the last count started, by `performance.now()`. */
  countedAtMs: number;
  /** The running count. */
  counting?: Promise<void>;
}

/** How long a count of live keys is used, in milliseconds. */
const MAX_COUNT_AGE_MS = 5_000;
/** The part of all waiting calls that one scope may have, unless `waitingPerScope` is set. */
const WAITING_SHARE = 0.1;
/** How many calls may wait for each call that the scope may have in flight, unless `waitingPerScope` is set. */
const WAITING_PER_SLOT = 10;
/** The maximum number of scopes whose count is cached. The count of any other scope is read from the store. */
const MAX_SCOPES = 10_000;
/** The maximum length of all scopes whose count is cached, in characters. A caller may choose a long name. */
const MAX_SCOPE_CHARACTERS = 10_000_000;

/** Counts the in-flight calls and the live keys of each scope. */
export class Quotas {
  readonly #options: QuotaOptions;
  readonly #store: ObservedStore;
  readonly #forms: StoredForms;
  readonly #inFlight = new Map<string, number>();
  readonly #liveKeys = new LRUCache<string, LiveKeys>({
    max: MAX_SCOPES,
    maxSize: MAX_SCOPE_CHARACTERS,
    sizeCalculation: (_live, scope) => scope.length,
  });

  /** @throws TypeError when an option is unknown, or a limit is not a whole number of at least 1 */
  constructor(options: QuotaOptions, store: ObservedStore, forms: StoredForms) {
    assertKnownOptions<QuotaOptions>('quotas', options, {
      inFlightPerScope: true,
      waitingPerScope: true,
      liveKeysPerScope: true,
      exempt: true,
    });
    for (const name of limitNames) if (name in options) assertWholeNumber(`quotas: ${name}`, options[name]);
    if (options.exempt !== undefined && typeof options.exempt !== 'function')
      throw new TypeError('quotas: exempt must be a function');
    this.#options = options;
    this.#store = store;
    this.#forms = forms;
  }

  /**
   * Returns how many calls of one scope may wait.
   * @param total how many calls of all scopes may wait
   */
  waitingPerScope(total: number): number {
    const { waitingPerScope, inFlightPerScope = Number.POSITIVE_INFINITY } = this.#options;
    return waitingPerScope ?? Math.min(Math.ceil(total * WAITING_SHARE), inFlightPerScope * WAITING_PER_SLOT);
  }

  /**
   * Returns whether no quota refuses the call.
   * @throws what the option `exempt` throws
   */
  isExempt(call: GuardedCall): boolean {
    const isExempt: unknown = this.#options.exempt?.(scopeContextOf(call));
    // A promise is not true, so an asynchronous function exempts no call. Its rejection must not end the process.
    if (isExempt instanceof Promise) isExempt.catch(() => {});
    return isExempt === true;
  }

  /**
   * Takes a slot for an in-flight call of the scope, unless all slots are taken or the call is exempt.
   * @throws what the option `exempt` throws
   */
  takeSlot(scope: string, call: GuardedCall): Slot {
    if (this.isExempt(call)) return 'exempt';
    const taken = this.#inFlight.get(scope) ?? 0;
    if (taken >= (this.#options.inFlightPerScope ?? Number.POSITIVE_INFINITY)) return 'none';
    this.#inFlight.set(scope, taken + 1);
    return 'taken';
  }

  /** Returns the slot of a call. Call this method only if `takeSlot` returned 'taken' for the call. */
  returnSlot(scope: string): void {
    const remaining = (this.#inFlight.get(scope) ?? 0) - 1;
    if (remaining > 0) this.#inFlight.set(scope, remaining);
    else this.#inFlight.delete(scope);
  }

  /**
   * Returns the quota that a new key of the scope would exceed, or undefined.
   * @param slot the result of `takeSlot` for this call
   * @throws DatabaseUnavailableError when the live keys cannot be counted
   */
  exceeded(scope: string, slot: Slot): MaybePromise<ExceededQuota | undefined> {
    const { inFlightPerScope, liveKeysPerScope } = this.#options;
    if (slot === 'exempt') return undefined;
    if (inFlightPerScope !== undefined && slot === 'none')
      return { quota: 'in_flight', limit: inFlightPerScope };
    if (liveKeysPerScope === undefined) return undefined;
    return then(this.#countOf(scope, liveKeysPerScope), (count) =>
      count >= liveKeysPerScope ? { quota: 'live_keys', limit: liveKeysPerScope } : undefined,
    );
  }

  /** Adds a newly claimed key to the count of the scope. */
  addLiveKey(scope: string): void {
    const live = this.#liveKeys.peek(scope);
    if (live?.count !== undefined) live.count++;
  }

  /**
   * Returns the number of live keys of a scope. The first count delays the call. Later counts run in the
   * background.
   */
  #countOf(scope: string, limit: number): MaybePromise<number> {
    const live = this.#liveKeys.get(scope) ?? { countedAtMs: Number.NEGATIVE_INFINITY };
    this.#liveKeys.set(scope, live);
    const isDue = live.count === undefined || performance.now() - live.countedAtMs > MAX_COUNT_AGE_MS;
    if (isDue && !live.counting) this.#recount(scope, limit, live);
    if (live.count === undefined) return then(live.counting, () => live.count ?? limit);
    live.counting?.catch(() => {});
    return live.count;
  }

  #recount(scope: string, limit: number, live: LiveKeys): void {
    live.countedAtMs = performance.now();
    const count = async () => {
      live.count = await this.#countLive(scope, limit);
    };
    const end = () => {
      delete live.counting;
    };
    live.counting = count();
    // Not a `finally` in `count`, which would run before the assignment when the circuit is open.
    live.counting.then(end, end);
  }

  /** Counts the records of a scope in each form in which the store may have records. */
  async #countLive(scope: string, max: number): Promise<number> {
    let total = 0;
    for (const stored of (await this.#forms.inUse()).scopes(scope))
      if (total < max) total += await this.#store.countLive(stored, max - total);
    return total;
  }
}
