import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Config } from '../config/config.js';
import { type FollowedFiles, namingFile } from '../platform/followed-files.js';

/** The contents of the files that the TLS settings name, in PEM. */
export interface TlsContents {
  /** The certificate of this server, and the certificates of its issuers. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The authority of client certificates. Without it the server does not request client certificates. */
  readonly clientCa: Buffer | undefined;
  /** The authority of the certificate of a remote inventory. */
  readonly ca: Buffer | undefined;
}

/** The TLS files of this server, with the contents in use. */
export class TlsFiles {
  #contents: TlsContents;
  readonly #listeners: (() => void)[] = [];

  constructor(contents: TlsContents) {
    this.#contents = contents;
  }

  get contents(): TlsContents {
    return this.#contents;
  }

  /** Calls the listener after each change of the contents. */
  onRenewal(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Replaces a part of the contents. */
  renew(renewed: Partial<TlsContents>): void {
    this.#contents = { ...this.#contents, ...renewed };
    for (const listener of this.#listeners) listener();
  }
}

/**
 * Reads the files that the TLS settings name, and follows their changes. The certificate and the key change together.
 * @throws ConfigError when a file is not readable or not PEM, or when the key does not belong to the certificate
 */
export function readTlsFiles(tls: Config['tls'], followed: FollowedFiles): TlsFiles | undefined {
  if (!tls) return undefined;
  const pair = followed.follow({
    files: [
      { setting: 'TLS_CERT', path: tls.cert },
      { setting: 'TLS_KEY', path: tls.key },
    ],
    parse: (cert, key) => pairOf(tls, cert, key),
    renew: (renewed) => {
      assertValidNow(renewed.cert);
      files.renew(renewed);
    },
  });
  const authority = (setting: string, path: string | undefined, renew: (pem: Buffer) => void) =>
    path === undefined ? undefined : followed.follow({ files: [{ setting, path }], parse: bundleOf, renew });
  const clientCa = authority('TLS_CLIENT_CA', tls.clientCa, (pem) => files.renew({ clientCa: pem }));
  const ca = authority('TLS_CA', tls.ca, (pem) => files.renew({ ca: pem }));
  const files = new TlsFiles({ ...pair, clientCa, ca });
  return files;
}

function pairOf(paths: NonNullable<Config['tls']>, cert: Buffer, key: Buffer) {
  namingFile({ setting: 'TLS_CERT', path: paths.cert }, () => bundleOf(cert));
  namingFile({ setting: 'TLS_KEY', path: paths.key }, () => {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
      throw new Error('the key does not belong to TLS_CERT');
    createSecureContext({ cert, key });
  });
  return { cert, key };
}

/**
 * Returns the content of a file with certificates.
 * @throws Error when a certificate is malformed, when the file ends within a block, or when two blocks share a line
 */
function bundleOf(pem: Buffer): Buffer {
  const text = pem.toString('latin1');
  const blocks = [...text.matchAll(/^-----BEGIN ([A-Z0-9 ]+)-----\s*$.*?^-----END \1-----\s*$/gms)];
  if (blocks.length < text.split('-----BEGIN ').length - 1) throw new Error('the file is not complete');
  const certificates = blocks.filter(([, label]) => label?.endsWith('CERTIFICATE'));
  if (certificates.length === 0) throw new Error('the file has no certificate in PEM');
  for (const [certificate] of certificates) new X509Certificate(certificate);
  return pem;
}

/** A certificate that clients would refuse must not replace one that they may still accept. */
function assertValidNow(cert: Buffer): void {
  const { validFrom, validTo } = new X509Certificate(cert);
  if (Date.parse(validTo) <= Date.now()) throw new Error(`the certificate expired at ${validTo}`);
  if (Date.parse(validFrom) > Date.now()) throw new Error(`the certificate is not valid before ${validFrom}`);
}
