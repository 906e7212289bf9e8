import { LRUCache } from 'lru-cache';
import { assertWholeNumber } from '../../options/whole-number.js';
import type { ObservedStore } from './observed-store.js';

/** How much one scope may have at a time; what is left out is not limited. */
export interface QuotaOptions {
  /** Calls that are executed or looked up in this process; waiting duplicates do not count. At least 1. */
  readonly inFlightPerScope?: number;
  /**
   * Keys that are retained; all calls of a producer that numbers them are one. The count is a few seconds old, so a
   * burst may overshoot it. At least 1.
   */
  readonly liveKeysPerScope?: number;
}

/** A limit that a scope has reached. */
export interface ExceededQuota {
  readonly quota: 'in_flight' | 'live_keys';
  readonly limit: number;
}

interface LiveKeys {
  /** As of the last count, and those that were claimed here since; undefined before the first one. */
  count?: number;
  askedAt: number;
  counting?: Promise<void>;
}

const RECOUNT_MS = 5_000;
const SCOPES = 10_000;

/** What each scope has in use, judged before anything is written for it. */
export class Quotas {
  readonly #options: QuotaOptions;
  readonly #store: ObservedStore;
  readonly #inFlight = new Map<string, number>();
  readonly #live = new LRUCache<string, LiveKeys>({ max: SCOPES });

  /** @throws TypeError a limit is not a whole number of at least 1 */
  constructor(options: QuotaOptions, store: ObservedStore) {
    for (const [name, limit] of Object.entries(options)) assertWholeNumber(`quotas: ${name}`, limit);
    this.#options = options;
    this.#store = store;
  }

  /** Takes a place among the scope's calls in flight, if one is free; to be given back by `leave`. */
  enter(scope: string): boolean {
    const taken = this.#inFlight.get(scope) ?? 0;
    if (taken >= (this.#options.inFlightPerScope ?? Number.POSITIVE_INFINITY)) return false;
    this.#inFlight.set(scope, taken + 1);
    return true;
  }

  leave(scope: string): void {
    const left = (this.#inFlight.get(scope) ?? 0) - 1;
    if (left > 0) this.#inFlight.set(scope, left);
    else this.#inFlight.delete(scope);
  }

  /**
   * The limit that a new key of the scope would exceed.
   * @param hasPlace what `enter` said
   * @throws DatabaseUnavailableError
   */
  async exceeded(scope: string, hasPlace: boolean): Promise<ExceededQuota | undefined> {
    const { inFlightPerScope, liveKeysPerScope } = this.#options;
    if (inFlightPerScope !== undefined && !hasPlace) return { quota: 'in_flight', limit: inFlightPerScope };
    if (liveKeysPerScope === undefined) return undefined;
    const live = await this.#liveKeys(scope, liveKeysPerScope);
    return live >= liveKeysPerScope ? { quota: 'live_keys', limit: liveKeysPerScope } : undefined;
  }

  /** Counts a key that was claimed for the scope. */
  claimed(scope: string): void {
    const live = this.#live.peek(scope);
    if (live?.count !== undefined) live.count++;
  }

  /** A first count is waited for; a later one goes on beside the calls. */
  async #liveKeys(scope: string, limit: number): Promise<number> {
    const live = this.#live.get(scope) ?? { askedAt: Number.NEGATIVE_INFINITY };
    this.#live.set(scope, live);
    const isDue = live.count === undefined || performance.now() - live.askedAt > RECOUNT_MS;
    if (isDue) live.counting ??= this.#count(scope, limit, live);
    if (live.count === undefined) await live.counting;
    else live.counting?.catch(() => {});
    return live.count ?? limit;
  }

  async #count(scope: string, limit: number, live: LiveKeys): Promise<void> {
    live.askedAt = performance.now();
    try {
      live.count = await this.#store.countLive(scope, limit);
    } finally {
      delete live.counting;
    }
  }
}
