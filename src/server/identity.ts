import {
  type ScopeSource,
  scopeFromMetadata,
  scopeFromPeerCertificate,
  singleTenant,
} from 'grpc-replay-guard';
import type { CallerIdentity } from '../config/caller-identity.js';
import type { FailureLog } from '../platform/failure-log.js';
import type { FollowedFiles } from '../platform/followed-files.js';
import { type InternalCalls, isSecret } from './internal-calls.js';
import { ownToken, scopeFromToken } from './tokens.js';

/** The identity of this server in calls that it makes without a caller. */
const SERVER_IDENTITY = 'shop-order';

/**
 * Makes the guard's scope source: it returns the verified identity of a caller.
 * @throws ConfigError when the keys of the token issuer cannot be used
 */
export function scopeFor(
  identity: CallerIdentity,
  internalCalls: InternalCalls,
  failures: FailureLog,
  followed: FollowedFiles,
): ScopeSource {
  switch (identity.kind) {
    case 'single':
      return singleTenant();
    case 'metadata':
      return scopeFromMetadata(identity.name);
    case 'mtls':
      return scopeFromPeerCertificate();
    case 'jwt':
      return serverOr(scopeFromToken(identity, failures, followed), internalCalls);
  }
}

/** Accepts the self token of this process in place of a JSON Web Token. */
function serverOr(callers: ScopeSource, { selfToken }: InternalCalls): ScopeSource {
  return (call) =>
    isSecret(call.metadata.get('authorization'), selfToken) ? SERVER_IDENTITY : callers(call);
}

/** The metadata entry that carries a caller's identity. */
export interface IdentityEntry {
  readonly name: string;
  /** Returns the value for a call that this server makes without a caller. */
  own(): string;
}

/**
 * Returns the metadata entry that carries the identity; undefined if the identity is not in the metadata.
 * @throws ConfigError when the token of this server cannot be used
 */
export function identityEntry(
  identity: CallerIdentity,
  internalCalls: InternalCalls,
): IdentityEntry | undefined {
  if (identity.kind === 'metadata') return { name: identity.name, own: () => SERVER_IDENTITY };
  if (identity.kind !== 'jwt') return undefined;
  const name = 'authorization';
  // The settings require a token for a remote inventory. Without a token this server only calls itself.
  if (identity.ownTokenPath === undefined) return { name, own: () => internalCalls.selfToken };
  const token = ownToken(identity.ownTokenPath);
  return { name, own: () => `Bearer ${token()}` };
}
