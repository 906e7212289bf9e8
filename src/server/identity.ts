import {
  type ScopeSource,
  scopeFromMetadata,
  scopeFromPeerCertificate,
  singleTenant,
} from 'grpc-replay-guard';
import type { CallerIdentity } from '../config/settings.js';
import type { Log } from '../platform/log.js';
import { isOnly, type OwnCalls } from './own-calls.js';
import { ownToken, scopeByToken } from './tokens.js';

/** Who this server is where it calls for itself and no caller is behind it. */
const OWN_NAME = 'shop-order';

/**
 * Where the guard takes the caller's identity from.
 * @throws ConfigError the keys of the tokens' issuer cannot be used
 */
export function scopeFor(identity: CallerIdentity, own: OwnCalls, log: Log): ScopeSource {
  switch (identity.kind) {
    case 'single':
      return singleTenant();
    case 'metadata':
      return scopeFromMetadata(identity.name);
    case 'mtls':
      return scopeFromPeerCertificate();
    case 'jwt':
      return ownNameOr(scopeByToken(identity, log), own);
  }
}

/** What this process asks of its own listener for itself needs no token. */
function ownNameOr(callers: ScopeSource, own: OwnCalls): ScopeSource {
  return (call) => (isOnly(call.metadata.get('authorization'), own.name) ? OWN_NAME : callers(call));
}

/** The metadata entry that says who is calling. */
export interface IdentityEntry {
  readonly name: string;
  /** What this server says there where it calls for itself. */
  own(): string;
}

/**
 * Undefined where a caller is not named by metadata.
 * @throws ConfigError the server's own token cannot be used
 */
export function identityEntry(identity: CallerIdentity, own: OwnCalls): IdentityEntry | undefined {
  if (identity.kind === 'metadata') return { name: identity.name, own: () => OWN_NAME };
  if (identity.kind !== 'jwt') return undefined;
  const name = 'authorization';
  // Without a token of its own there is no listener but its own that it could ask.
  if (identity.ownTokenPath === undefined) return { name, own: () => own.name };
  const token = ownToken(identity.ownTokenPath);
  return { name, own: () => `Bearer ${token()}` };
}
