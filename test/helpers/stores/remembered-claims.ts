import type { Claim, ClaimRequest } from 'grpc-replay-guard/store';
import { PassingStore } from './passing-store.js';

/** Passes every call to another store and records the granted claims. */
export class RememberedClaims extends PassingStore {
  readonly granted: Claim[] = [];

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (result.outcome === 'claimed') this.granted.push(result.claim);
    return result;
  }
}
