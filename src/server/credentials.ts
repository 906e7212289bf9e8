import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type PeerCertificate, rootCertificates } from 'node:tls';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { type Config, ConfigError } from '../config/config.js';

/** The contents of the files that the TLS settings name, in PEM. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The authority of client certificates. Without it the server does not request client certificates. */
  readonly clientCa: Buffer | undefined;
  /** The authority of the certificate of a remote inventory. */
  readonly ca: Buffer | undefined;
}

/**
 * Reads the files that the TLS settings name.
 * @throws ConfigError when a file is not readable or not PEM, or when the key does not belong to the certificate
 */
export function readTlsFiles(tls: Config['tls']): TlsFiles | undefined {
  if (!tls) return undefined;
  const cert = readCertificates('TLS_CERT', tls.cert);
  const key = readPem('TLS_KEY', tls.key, (pem) => assertKeyOf(cert, pem));
  const clientCa = tls.clientCa ? readCertificates('TLS_CLIENT_CA', tls.clientCa) : undefined;
  return { cert, key, clientCa, ca: tls.ca ? readCertificates('TLS_CA', tls.ca) : undefined };
}

/** Makes the credentials of this server's listeners. */
export function serverCredentials(tls: TlsFiles | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const pair = { cert_chain: tls.cert, private_key: tls.key };
  return ServerCredentials.createSsl(tls.clientCa ?? null, [pair], tls.clientCa !== undefined);
}

/** Makes the credentials for calls to a remote inventory. */
export function clientCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  const roots = tls.ca ?? tls.clientCa ?? Buffer.from([...rootCertificates, tls.cert].join('\n'));
  return ChannelCredentials.createSsl(roots, tls.key, tls.cert);
}

/**
 * Makes the credentials for calls to the internal listener. They accept this server's own certificate only, for any
 * host name and from any authority.
 */
export function internalCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  const own = new X509Certificate(tls.cert).fingerprint256;
  const context = createSecureContext({
    ca: tls.cert,
    cert: tls.cert,
    key: tls.key,
    allowPartialTrustChain: true,
  });
  return ChannelCredentials.createFromSecureContext(context, {
    checkServerIdentity: (_host: string, peer: PeerCertificate) =>
      peer.fingerprint256 === own
        ? undefined
        : new Error('the certificate is not the certificate of this server'),
  });
}

function readCertificates(name: string, path: string): Buffer {
  return readPem(name, path, (pem) => new X509Certificate(pem));
}

function readPem(name: string, path: string, check: (pem: Buffer) => unknown): Buffer {
  try {
    const pem = readFileSync(path);
    check(pem);
    return pem;
  } catch (error) {
    throw new ConfigError(name, `${path} cannot be used: ${(error as Error).message}`);
  }
}

function assertKeyOf(cert: Buffer, key: Buffer): void {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Error('the key does not belong to TLS_CERT');
  }
}
