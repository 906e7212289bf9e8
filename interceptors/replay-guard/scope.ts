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

/** Every caller is the same one. For a server that only one party can reach. */
export function singleTenant(): ScopeSource {
  return () => 'single';
}

/**
 * The value of a metadata entry. Only behind a proxy that verifies the caller and sets the entry itself:
 * any client can send any metadata.
 */
export function scopeFromMetadata(name: string): ScopeSource {
  return ({ metadata }) => {
    const values = metadata.get(name);
    return values.length === 1 ? String(values[0]) : undefined;
  };
}

/** The peer certificate's subject alternative names; its SHA-256 fingerprint where it has none. */
export function scopeFromPeerCertificate(): ScopeSource {
  return ({ peerCertificate }) =>
    peerCertificate && (peerCertificate.subjectaltname ?? peerCertificate.fingerprint256);
}
