import type { PeerCertificate } from 'node:tls';
import type { Metadata } from '@grpc/grpc-js';

/** What a scope may be read from. */
export interface ScopeContext {
  readonly metadata: Metadata;
  /** The client's verified certificate, under mutual TLS. */
  readonly peerCertificate?: PeerCertificate;
}

/**
 * Says who is calling, from the verified identity. Two scopes never see each other's keys. Undefined or
 * empty where the call has no identity: it is then refused as UNAUTHENTICATED.
 */
export type ScopeSource = (call: ScopeContext) => string | undefined | Promise<string | undefined>;

/**
 * Thrown by a scope source that cannot find out for now who is calling, through no fault of the caller's: the
 * call is answered UNAVAILABLE, to be retried. Any other error is an identity that could not be verified.
 */
export class ScopeUnavailableError extends Error {
  override name = 'ScopeUnavailableError';
}

/** Every caller is the same one. For a server that only one party can reach. */
export function singleTenant(): ScopeSource {
  return () => 'single';
}

/**
 * The value of a metadata entry. Only behind a proxy that verifies the caller and sets the entry itself, in
 * place of what the client sent: any client can send any metadata. A text with a comma is nobody, because
 * that is how two entries of one name arrive.
 */
export function scopeFromMetadata(name: string): ScopeSource {
  return ({ metadata }) => {
    const [value, ...others] = metadata.get(name);
    if (value === undefined || others.length > 0) return undefined;
    // As text, bytes that are no UTF-8 would all be the same.
    if (typeof value !== 'string') return value.toString('base64');
    return value.includes(',') ? undefined : value;
  };
}

/**
 * The peer certificate's subject alternative names, all of them as Node writes them: a renewed certificate
 * with the same names is the same caller, whichever trusted authority signed it. Its SHA-256 fingerprint
 * where it has no names, or one that Node cannot show.
 */
export function scopeFromPeerCertificate(): ScopeSource {
  return ({ peerCertificate }) => {
    if (!peerCertificate) return undefined;
    const names = peerCertificate.subjectaltname;
    // What Node cannot show it writes as `<unsupported>`, the same for every such name.
    return names && !names.includes('<unsupported>') ? names : peerCertificate.fingerprint256;
  };
}
