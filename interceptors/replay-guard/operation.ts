import type { GuardedCall } from './guarded-call.js';
import { missingKey, readKey } from './key.js';
import type { RecordIdentifier } from './record-id.js';
import { refusals } from './refusal.js';
import type { ScopeSource } from './scope.js';
import type { ClaimRequest } from './stores/store.js';

/** Finds out which operation a call asks for. */
export class OperationReader {
  readonly #scope: ScopeSource;
  readonly #identify: RecordIdentifier;

  constructor(scope: ScopeSource, identify: RecordIdentifier) {
    this.#scope = scope;
    this.#identify = identify;
  }

  /**
   * The operation, frozen from here on; undefined where the call may run unguarded.
   * @throws Refusal the key is missing or invalid, or the caller has no identity
   */
  async read(call: GuardedCall): Promise<ClaimRequest | undefined> {
    const { path, policy } = call.method;
    const key = readKey(call.metadata);
    // A call without a request is for grpc-js to refuse.
    if (!call.request || (key === undefined && policy.key === 'OPTIONAL')) return undefined;
    if (key === undefined) throw missingKey();
    const fingerprint = call.method.fingerprint(call.request);
    const scope = await this.#scopeOf(call);
    return Object.freeze({
      id: this.#identify(scope, path, key),
      scope,
      method: path,
      fingerprint,
      atomicity: policy.atomicity,
      leaseMs: policy.leaseMs,
      ttlMs: policy.ttlMs,
    });
  }

  async #scopeOf(call: GuardedCall): Promise<string> {
    const peerCertificate = call.getAuthContext().sslPeerCertificate;
    try {
      const scope = await this.#scope({
        metadata: call.metadata,
        ...(peerCertificate && { peerCertificate }),
      });
      if (scope) return scope;
    } catch {
      // An identity that cannot be verified is none.
    }
    throw refusals.scopeMissing();
  }
}
