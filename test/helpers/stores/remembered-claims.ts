import type { Claim, ClaimRequest } from 'grpc-replay-guard/store';
import { PassingStore } from './passing-store.js';

/** Passes everything to a store and remembers the claims that it granted. */
export class RememberedClaims extends PassingStore {
  readonly granted: Claim[] = [];

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (result.outcome === 'claimed') this.granted.push(result.claim);
    return result;
  }
}
