import type { ClaimRequest, ClaimResult, IdempotencyStore, RecordAddress } from 'grpc-replay-guard/store';

/** Passes every call to another store. A test overrides the methods that it observes or changes. */
export class PassingStore implements IdempotencyStore {
  protected readonly store: IdempotencyStore;

  constructor(store: IdempotencyStore) {
    this.store = store;
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    return this.store.claim(request);
  }

  async find(address: RecordAddress) {
    return this.store.find(address);
  }

  async findProducer(address: RecordAddress) {
    return this.store.findProducer(address);
  }

  async countLive(scope: string, max: number) {
    return this.store.countLive(scope, max);
  }

  async erase(scope: string, limit: number, after?: string) {
    return this.store.erase(scope, limit, after);
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
