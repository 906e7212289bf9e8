import type { Claim, ClaimRequest, IdempotencyStore } from 'grpc-replay-guard/store';
import { PassingStore } from '../../helpers/stores/passing-store.js';

/** The changes that a bug makes to a store. */
export interface StorePatch {
  /** Returns the methods of a claim that the bug replaces. */
  readonly claim?: (claim: Claim, request: ClaimRequest) => Partial<Pick<Claim, 'complete' | 'run'>>;
  /** Runs before each purge. */
  readonly beforePurge?: () => Promise<void>;
}

/** Passes every call to another store, with the changes of a bug. */
export class PatchedStore extends PassingStore {
  readonly #patch: StorePatch;

  constructor(store: IdempotencyStore, patch: StorePatch) {
    super(store);
    this.#patch = patch;
  }

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (result.outcome !== 'claimed' || !this.#patch.claim) return result;
    const { claim } = result;
    const patched: Claim = {
      get takenOver() {
        return claim.takenOver;
      },
      get expiresAtMs() {
        return claim.expiresAtMs;
      },
      get lost() {
        return claim.lost;
      },
      run: (work, onLost) => claim.run(work, onLost),
      complete: (reply) => claim.complete(reply),
      fail: (reply) => claim.fail(reply),
      release: () => claim.release(),
      renew: () => claim.renew(),
      ...this.#patch.claim(claim, request),
    };
    return { ...result, claim: patched };
  }

  override async purge(limit: number, after?: string) {
    await this.#patch.beforePurge?.();
    return super.purge(limit, after);
  }
}
