import type { Reason } from '../../protocol/reasons.js';
import type { ExceededQuota, ObservedRefusal } from '../observer.js';
import type { Answer, GuardedCall } from './guarded-call.js';

/**
 * A refusal as observers receive it. Most observers only count it, so the description of the caller is computed on
 * demand.
 */
export class RefusedCall implements ObservedRefusal {
  readonly reason: Reason;
  readonly code: number;
  readonly quota: ExceededQuota | undefined;
  readonly #call: GuardedCall;
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
    this.#call = call;
    this.#scope = scope;
    this.#digest = digest;
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  get scopeDigest(): string | undefined {
    return this.#scope === undefined ? undefined : this.#digest(this.#scope);
  }
}
