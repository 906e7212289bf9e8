import type { Reason } from '../../protocol/reasons.js';
import type { ExceededQuota, ObservedRefusal } from '../observer.js';
import type { Answer, GuardedCall } from './guarded-call.js';

/**
 * A refusal as observers receive it. Most observers only count it, so the digest is computed on demand. An observer may
 * keep the refusal until long after the call, so the refusal does not hold the call and its request.
 */
export class RefusedCall implements ObservedRefusal {
  readonly reason: Reason;
  readonly code: number;
  readonly quota: ExceededQuota | undefined;
  /** Read at once: a call that has ended does not know its client any more. */
  readonly peer: string;
  readonly #scope: string | undefined;
  readonly #digest: (scope: string) => string;

  /** @param scope undefined if the call was refused before its scope was known */
  constructor(
    { reason, code }: Pick<Answer, 'code'> & { readonly reason: Reason },
    quota: ExceededQuota | undefined,
    call: GuardedCall,
    scope: string | undefined,
    digest: (scope: string) => string,
  ) {
    this.reason = reason;
    this.code = code;
    this.quota = quota;
    this.peer = call.getPeer();
    this.#scope = scope;
    this.#digest = digest;
  }

  get scopeDigest(): string | undefined {
    return this.#scope === undefined ? undefined : this.#digest(this.#scope);
  }
}
