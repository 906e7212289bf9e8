import { readSent } from './first-sent.js';
import type { GuardedCall } from './guarded-call.js';
import { missingKey, readKey } from './key.js';
import type { RecordIdentifier } from './record-id.js';
import { refusals } from './refusal.js';
import { type ScopeSource, ScopeUnavailableError } from './scope.js';
import type { ClaimRequest } from './stores/store.js';

/** An operation that a call asks for. */
export interface Operation extends ClaimRequest {
  /** Under which its record may have been stored before the pepper was changed. */
  readonly previousIds: readonly Buffer[];
}

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
   * @throws Refusal the key is missing or invalid, or who is calling is not known
   */
  async read(call: GuardedCall): Promise<Operation | undefined> {
    const { path, policy } = call.method;
    // A call without a request is for grpc-js to refuse.
    if (!call.request) return undefined;
    const key = readKey(call.metadata, call.request, policy.keyField);
    if (key === undefined && policy.key === 'OPTIONAL') return undefined;
    if (key === undefined) throw missingKey(policy.keyField);
    const sent = readSent(call.metadata, key, policy.rejectOldKeys);
    const fingerprint = call.method.fingerprint(call.request);
    const scope = await this.#scopeOf(call);
    const ids = this.#identify(scope, path, key);
    return Object.freeze({
      id: ids.current,
      previousIds: ids.previous,
      scope,
      method: path,
      fingerprint,
      atomicity: policy.atomicity,
      leaseMs: policy.leaseMs,
      ttlMs: policy.ttlMs,
      ...(sent && { sent }),
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
    } catch (error) {
      if (error instanceof ScopeUnavailableError) throw refusals.scopeUnavailable();
      // An identity that cannot be verified is none.
    }
    throw refusals.scopeMissing();
  }
}
