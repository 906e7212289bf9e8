import type { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { normalNames } from './certificate-names.js';
import type { ScopeSource } from './scope.js';

/** The parts of a certificate that name its owner, as `node:crypto` or `node:tls` reads the certificate. */
export type CertificateIdentity =
  | Pick<X509Certificate, 'subjectAltName' | 'fingerprint256'>
  | Pick<PeerCertificate, 'subjectaltname' | 'fingerprint256'>;

/**
 * Returns a scope source that reads the scope from the client's verified certificate (mutual TLS). The scope is the set
 * of all subject alternative names: see `scopeOfCertificate`. A renewed certificate with the same names has the same
 * scope, in any order, even from another trusted authority.
 */
export function scopeFromPeerCertificate(): ScopeSource {
  return ({ peerCertificate }) => peerCertificate && scopeOfCertificate(peerCertificate);
}

/**
 * Returns the scope that `scopeFromPeerCertificate` gives to a certificate, for example for `eraseScope`. The scope is
 * the set of the certificate's subject alternative names: sorted and without duplicates. Parts that are compared
 * without letter case are in lower case. If the certificate has no such names, or a name that Node does not print in
 * full, the scope is the certificate's SHA-256 fingerprint. A renewed certificate then has another scope.
 * @param certificate such as `new X509Certificate(pem)`
 */
export function scopeOfCertificate(certificate: CertificateIdentity): string {
  const names = printedNames(certificate);
  return (names && normalNames(names)) || certificate.fingerprint256;
}

function printedNames(certificate: CertificateIdentity): string | undefined {
  if (!('subjectAltName' in certificate)) return certificate.subjectaltname;
  try {
    return certificate.subjectAltName;
  } catch {
    // Node 22 and newer throw if they cannot print a name. Node 20 returns undefined.
    return undefined;
  }
}
