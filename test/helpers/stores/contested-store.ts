import type { Claim, ClaimRequest, NotClaimed } from 'grpc-replay-guard/store';
import { Barrier } from '../waiting/barrier.js';
import { PassingStore } from './passing-store.js';

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/**
 * A store in which `fail` pauses between its two parts, the rollback of the execution and the new claim that stores the
 * failure. During the pause another server can take the key.
 */
export class ContestedStore extends PassingStore {
  /** Reached after each rollback. The failure is stored when the barrier opens. */
  readonly rolledBack = new Barrier();

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (result.outcome !== 'claimed') return result;
    const { claim } = result;
    const contested: Mutable<Claim> = {
      ...{ takenOver: claim.takenOver, expiresAtMs: claim.expiresAtMs, lost: claim.lost },
      run: (work, onLost) => claim.run(work, onLost),
      complete: (reply) => claim.complete(reply),
      fail: (reply) => this.#fail(contested, request, reply),
      release: () => claim.release(),
      renew: () => claim.renew(),
    };
    return { ...result, claim: contested };
  }

  async #fail(claim: Mutable<Claim>, request: ClaimRequest, reply: Buffer): Promise<NotClaimed | undefined> {
    await claim.release();
    await this.rolledBack.pass();
    const again = await super.claim(request);
    if (again.outcome !== 'claimed') return again;
    await again.claim.complete(reply);
    claim.expiresAtMs = again.claim.expiresAtMs;
    return undefined;
  }
}
