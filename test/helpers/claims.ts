import type { Claim, ClaimRequest, IdempotencyStore } from 'grpc-replay-guard';

/** Passes everything to a store and remembers the claims that it granted. */
export class RememberedClaims implements IdempotencyStore {
  readonly granted: Claim[] = [];
  readonly #store: IdempotencyStore;

  constructor(store: IdempotencyStore) {
    this.#store = store;
  }

  async claim(request: ClaimRequest) {
    const result = await this.#store.claim(request);
    if (result.outcome === 'claimed') this.granted.push(result.claim);
    return result;
  }

  purge(limit: number) {
    return this.#store.purge(limit);
  }

  estimateRecords() {
    return this.#store.estimateRecords();
  }
}
