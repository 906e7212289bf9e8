import type { ClaimRequest, ClaimResult, IdempotencyStore } from 'grpc-replay-guard/store';

/** Passes every call to another store. A test overrides the methods that it observes or changes. */
export class PassingStore implements IdempotencyStore {
  protected readonly store: IdempotencyStore;

  constructor(store: IdempotencyStore) {
    this.store = store;
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    return this.store.claim(request);
  }

  async find(id: Buffer) {
    return this.store.find(id);
  }

  async findProducer(id: Buffer) {
    return this.store.findProducer(id);
  }

  async countLive(scope: string, max: number) {
    return this.store.countLive(scope, max);
  }

  async erase(scope: string, limit: number) {
    return this.store.erase(scope, limit);
  }

  async ping() {
    return this.store.ping();
  }

  async purge(limit: number, after?: string) {
    return this.store.purge(limit, after);
  }

  async estimateRecords() {
    return this.store.estimateRecords();
  }
}
