import { outlineOf } from '../../logging/describe-error.js';
import { KEY_HEADER } from '../../protocol/headers.js';
import type { ClaimRequest } from '../../store/store.js';
import { type MaybePromise, then, thenOrCatch } from '../../timing/maybe-promise.js';
import type { GuardedCall } from '../call/guarded-call.js';
import { refusals } from '../refusal/refusal.js';
import { isScope, type ScopeContext, type ScopeSource, ScopeUnavailableError } from '../scope/scope.js';
import { readFirstSent } from './first-sent.js';
import { invalidName, missingKey, readKey } from './key.js';
import type { OperationIdentifier, OperationIds, OperationName } from './operation-id.js';
import { readSequence } from './sequence.js';

/** The operation of one call: the claim request, and the other ids of its record. */
export interface Operation extends ClaimRequest, Pick<OperationIds, 'previous' | 'precededBy'> {}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Returns the parts of a call that may identify its caller. */
export function scopeContextOf(call: GuardedCall): ScopeContext {
  const { metadata } = call;
  const peerCertificate = call.getAuthContext().sslPeerCertificate;
  return peerCertificate ? { metadata, peerCertificate } : { metadata };
}

/** Reads the operation of a call from its metadata, its request and the caller's identity. */
export class OperationReader {
  readonly #scope: ScopeSource;
  readonly #identify: OperationIdentifier;
  #hasWarned = false;

  constructor(scope: ScopeSource, identify: OperationIdentifier) {
    this.#scope = scope;
    this.#identify = identify;
  }

  /**
   * Returns the operation of the call, frozen, or undefined if the call may run unguarded. Returns a promise only if
   * the scope source returns a promise.
   * @throws Refusal if the key is missing or invalid, or if the caller's identity is missing or unavailable
   */
  read(call: GuardedCall): MaybePromise<Operation | undefined> {
    const { path, policy } = call.method;
    // grpc-js itself refuses a call without a request.
    if (!call.request) return undefined;
    const name = nameOf(call, call.request);
    if (!name && policy.key === 'OPTIONAL') return undefined;
    if (!name) throw missingKey(policy.keyField);
    const datedKey = 'key' in name && policy.rejectOldKeys ? name.key : undefined;
    const firstSent = readFirstSent(call.metadata, datedKey);
    return then(this.#scopeOf(call), (scope) => {
      const { current, previous, precededBy } = this.#identify(scope, path, name);
      const { id, series } = current;
      const { atomicity, leaseMs, retentionMs } = policy;
      // A large request costs time. A caller without identity must not cause this cost.
      const fingerprint = call.fingerprint();
      const operation: Writable<Operation> = {
        id,
        scope,
        fingerprint,
        atomicity,
        leaseMs,
        retentionMs,
        previous,
      };
      if (series) operation.series = series;
      if (precededBy) operation.precededBy = precededBy;
      if (firstSent) operation.firstSent = firstSent;
      return Object.freeze(operation);
    });
  }

  /** @param found the error or the result of the scope source */
  #warn(found: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    warnOfSource(found);
  }

  #scopeOf(call: GuardedCall): MaybePromise<string> {
    return thenOrCatch(
      () => this.#scope(scopeContextOf(call)),
      (scope) => {
        if (isScope(scope)) return scope;
        if (scope !== undefined && typeof scope !== 'string') this.#warn(scope);
        throw refusals.scopeMissing();
      },
      (error) => {
        if (error instanceof ScopeUnavailableError) throw refusals.scopeUnavailable();
        if (isMistake(error)) this.#warn(error);
        // Any other error means an unverified identity. The call is refused like a call without an identity.
        throw refusals.scopeMissing();
      },
    );
  }
}

/** Whether an error shows a mistake in the code of a scope source. Other errors may report a wrong identity. */
const isMistake = (error: unknown) => error instanceof TypeError || error instanceof ReferenceError;

/** Emits a process warning about the error or the result of a scope source, without values that a caller has sent. */
function warnOfSource(found: unknown): void {
  const outcome = found instanceof Error ? 'failed' : `returned a value of type ${typeof found}, not a text`;
  process.emitWarning(`the scope source ${outcome}, so the guard refuses calls as UNAUTHENTICATED`, {
    type: 'ReplayGuardWarning',
    code: 'REPLAY_GUARD_SCOPE_FAILED',
    ...(found instanceof Error && { detail: outlineOf(found) }),
  });
}

/**
 * @throws Refusal IDEMPOTENCY_KEY_INVALID if the call has an invalid key or sequence, or both a key and a
 * sequence
 */
function nameOf({ metadata, method }: GuardedCall, request: object): OperationName | undefined {
  const { keyField } = method.policy;
  const sequence = readSequence(metadata);
  const key = readKey(metadata, request, keyField);
  if (key === undefined) return sequence;
  if (!sequence) return { key };
  const isInField = metadata.get(KEY_HEADER).length === 0 && keyField !== undefined;
  throw invalidName(
    isInField ? keyField : KEY_HEADER,
    'must not be sent with a sequence: an operation has one name',
  );
}
