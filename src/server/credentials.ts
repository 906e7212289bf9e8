import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type PeerCertificate, rootCertificates } from 'node:tls';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { type Config, ConfigError } from '../config/config.js';

/** What the TLS settings name, as PEM. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Whose certificates callers must show; without it no caller is asked for one. */
  readonly clientCa: Buffer | undefined;
  /** Who vouches for the inventory server. */
  readonly ca: Buffer | undefined;
}

/**
 * Reads the files that the TLS settings name.
 * @throws ConfigError one is not readable, is not PEM, or the key is another certificate's
 */
export function readTlsFiles(tls: Config['tls']): TlsFiles | undefined {
  if (!tls) return undefined;
  const cert = readCertificates('TLS_CERT', tls.cert);
  const key = readPem('TLS_KEY', tls.key, (pem) => assertKeyOf(cert, pem));
  const clientCa = tls.clientCa ? readCertificates('TLS_CLIENT_CA', tls.clientCa) : undefined;
  return { cert, key, clientCa, ca: tls.ca ? readCertificates('TLS_CA', tls.ca) : undefined };
}

/** What our listener shows to callers, and asks of them. */
export function serverCredentials(tls: TlsFiles | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const pair = { cert_chain: tls.cert, private_key: tls.key };
  return ServerCredentials.createSsl(tls.clientCa ?? null, [pair], tls.clientCa !== undefined);
}

/** What this server shows to the inventory server, and asks of it, when that is elsewhere. */
export function clientCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  const roots = tls.ca ?? tls.clientCa ?? Buffer.from([...rootCertificates, tls.cert].join('\n'));
  return ChannelCredentials.createSsl(roots, tls.key, tls.cert);
}

/**
 * The same for calls to our own listener: nothing but our own certificate will do, whatever name it is
 * for and whoever signed it.
 */
export function selfCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  const own = new X509Certificate(tls.cert).fingerprint256;
  const context = createSecureContext({
    ca: tls.cert,
    cert: tls.cert,
    key: tls.key,
    allowPartialTrustChain: true,
  });
  return ChannelCredentials.createFromSecureContext(context, {
    checkServerIdentity: (_host: string, shown: PeerCertificate) =>
      shown.fingerprint256 === own ? undefined : new Error('not the certificate of this server'),
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
    throw new Error('it is not the key of TLS_CERT');
  }
}
