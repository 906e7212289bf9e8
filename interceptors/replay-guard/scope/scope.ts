import type { PeerCertificate } from 'node:tls';
import type { Metadata } from '@grpc/grpc-js';
import { CodedError } from '../../context/coded-error.js';
import { whyNotTrusted } from '../../protocol/entry-names.js';

/** The parts of a call from which a scope source may read the caller's identity. */
export interface ScopeContext {
  /**
   * The metadata of the call. Any client can send any metadata. Of some names, such as `authorization`, Node reads the
   * first entry only. If the client sent several, this metadata has all of them, unlike the metadata of the handler.
   */
  readonly metadata: Metadata;
  /** The client's certificate, if TLS verified a certificate. */
  readonly peerCertificate?: PeerCertificate;
}

/**
 * Returns the scope of a call: a text that names the caller, from a verified identity. Callers with different scopes
 * never share keys or replies. If the scope is undefined, empty or has an unpaired surrogate, or the source throws, the
 * guard refuses the call as UNAUTHENTICATED.
 * @throws ScopeUnavailableError if the caller cannot be identified at the moment; the call is refused as UNAVAILABLE
 */
export type ScopeSource = (call: ScopeContext) => string | undefined | Promise<string | undefined>;

/**
 * A scope source cannot identify the caller at the moment, for a reason that the caller did not cause. The guard
 * refuses the call as UNAVAILABLE, and the client may retry.
 */
export class ScopeUnavailableError extends CodedError {
  override name = 'ScopeUnavailableError';
  static override readonly code: string = 'REPLAY_GUARD_SCOPE_UNAVAILABLE';
}

/**
 * Whether a value is the scope of a caller. Unpaired surrogates have no form in UTF-8: all of them have the same bytes, so
 * two callers would share their keys.
 */
export function isScope(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !/\p{Surrogate}/u.test(value);
}

/** Returns a scope source with one scope for all callers. Use this source only if all callers belong to one party. */
export function singleTenant(): ScopeSource {
  return () => 'single';
}

/**
 * Returns a scope source that reads the scope from one metadata entry. Use this source only behind a proxy that
 * verifies the caller and replaces the entry of the client, because any client can send any metadata. A missing or
 * repeated entry gives no scope. A text with a comma also gives no scope, because gRPC joins repeated entries with a
 * comma. Values are compared exactly, letter by letter: two spellings of one user are two callers. The proxy must send
 * one spelling.
 * @param name the name of the entry; a name that ends in `-bin` has a binary value
 * @throws TypeError if grpc-js may not show whether the client sent such an entry, too: `authorization`, `from`,
 *   `user-agent`, `cookie` and other names that HTTP defines, and names that begin with `grpc-` or `idempotency-`
 */
export function scopeFromMetadata(name: string): ScopeSource {
  const reason = whyNotTrusted(name.toLowerCase());
  if (reason) throw new TypeError(`metadata ${name} cannot name the caller: it ${reason}`);
  return ({ metadata }) => {
    const [value, ...others] = metadata.get(name);
    if (value === undefined || others.length > 0) return undefined;
    // Base64 keeps binary values distinct. Decoding as UTF-8 would make different invalid bytes equal.
    if (typeof value !== 'string') return value.toString('base64');
    return value.includes(',') ? undefined : value;
  };
}
