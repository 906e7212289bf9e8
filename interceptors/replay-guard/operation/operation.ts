import { KEY_HEADER } from '../../protocol/headers.js';
import type { ClaimRequest } from '../../store/store.js';
import type { GuardedCall } from '../call/guarded-call.js';
import { refusals } from '../refusal/refusal.js';
import { type ScopeSource, ScopeUnavailableError } from '../scope/scope.js';
import { readSent } from './first-sent.js';
import { type OperationName, type RecordAddresses, recordAddressesOf } from './identity.js';
import { invalid, missingKey, readKey } from './key.js';
import type { RecordIdentifier } from './record-id.js';
import { readSequence } from './sequence.js';

/** An operation that a call asks for. */
export interface Operation extends ClaimRequest, Pick<RecordAddresses, 'previous' | 'precededBy'> {}

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
    const named = nameOf(call, call.request);
    if (!named && policy.key === 'OPTIONAL') return undefined;
    if (!named) throw missingKey(policy.keyField);
    const dated = 'key' in named && policy.rejectOldKeys ? named.key : undefined;
    const sent = readSent(call.metadata, dated);
    const fingerprint = call.method.fingerprint(call.request);
    const scope = await this.#scopeOf(call);
    const { current, ...others } = recordAddressesOf(this.#identify, scope, path, named);
    return Object.freeze({
      ...current,
      ...others,
      scope,
      fingerprint,
      atomicity: policy.atomicity,
      leaseMs: policy.leaseMs,
      retentionMs: policy.retentionMs,
      ...(sent && { firstSent: sent }),
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

/** @throws Refusal IDEMPOTENCY_KEY_INVALID */
function nameOf({ metadata, method }: GuardedCall, request: object): OperationName | undefined {
  const { keyField } = method.policy;
  const sequence = readSequence(metadata);
  const key = readKey(metadata, request, keyField);
  if (key === undefined) return sequence;
  if (!sequence) return { key };
  const isInField = metadata.get(KEY_HEADER).length === 0 && keyField !== undefined;
  throw invalid(
    isInField ? keyField : KEY_HEADER,
    'must not be sent with a sequence: an operation has one name',
  );
}
