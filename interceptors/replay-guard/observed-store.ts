import type { ReplayGuardObserver, StoreOperation } from './observer.js';
import type { Claim, ClaimRequest, ClaimResult, IdempotencyStore } from './stores/store.js';

/** The store as the guard uses it: every operation is timed and its errors are counted. */
export class ObservedStore {
  readonly #store: IdempotencyStore;
  readonly #observer: ReplayGuardObserver;

  constructor(store: IdempotencyStore, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#observer = observer;
  }

  claim(request: ClaimRequest): Promise<ClaimResult> {
    return this.#observe('claim', () => this.#store.claim(request));
  }

  complete(claim: Claim, reply: Buffer): Promise<void> {
    return this.#observe('complete', () => claim.complete(reply));
  }

  fail(claim: Claim, reply: Buffer): Promise<void> {
    return this.#observe('fail', () => claim.fail(reply));
  }

  /** Never rejects: a key that could not be released is free when its lease has run out. */
  async release(claim: Claim): Promise<void> {
    await this.#observe('release', () => claim.release()).catch(() => {});
  }

  purge(limit: number): Promise<number> {
    return this.#observe('purge', () => this.#store.purge(limit));
  }

  estimateRecords(): Promise<number> {
    return this.#store.estimateRecords();
  }

  async #observe<T>(operation: StoreOperation, use: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1_000;
    try {
      const result = await use();
      this.#observer.storeUsed(operation, seconds());
      return result;
    } catch (error) {
      this.#observer.storeUsed(operation, seconds(), error);
      throw error;
    }
  }
}
