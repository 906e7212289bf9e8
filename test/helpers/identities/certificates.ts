import { webcrypto } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
// @peculiar/x509 requires this import before its own.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);

const signingAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

/** A certificate and its private key, as PEM and as the paths of PEM files. */
export interface Pair {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A subject alternative name. A text is a DNS name. */
export type Name = string | x509.JsonGeneralName;

/** When a certificate is valid, in milliseconds since the epoch. */
export interface Validity {
  readonly validFrom: number;
  readonly validTo: number;
}

/** A certificate authority. */
export interface Authority extends Pair {
  /** Issues a certificate for servers and clients, with the given subject alternative names. */
  issue(subject: string, ...names: Name[]): Promise<Pair>;
}

/** Creates an authority. All files are written to `folder`. */
export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const keys = await newKeys();
  const extensions = [new x509.BasicConstraintsExtension(true, undefined, true)];
  const own = await x509.X509CertificateGenerator.createSelfSigned({
    ...terms(name, extensions),
    keys,
  });
  const issue = async (subject: string, ...names: Name[]) => {
    const { publicKey, privateKey } = await newKeys();
    const cert = await x509.X509CertificateGenerator.create({
      ...terms(subject, alternativeNames(names)),
      subject: `CN=${subject}`,
      issuer: own.subject,
      publicKey,
      signingKey: keys.privateKey,
    });
    return save(folder, subject, cert.toString('pem'), privateKey);
  };
  return { ...(await save(folder, name, own.toString('pem'), keys.privateKey)), issue };
}

/** Creates a self-signed certificate with the given subject alternative names, or one that is valid at other times. */
export async function selfSigned(
  folder: string,
  name: string,
  ...given: readonly Name[] | readonly [Validity]
): Promise<Pair> {
  const keys = await newKeys();
  const [validity] = given.filter((one) => typeof one === 'object' && 'validTo' in one) as Validity[];
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    ...terms(name, alternativeNames(validity ? [] : (given as Name[]))),
    ...(validity && { notBefore: new Date(validity.validFrom), notAfter: new Date(validity.validTo) }),
    keys,
  });
  return save(folder, name, cert.toString('pem'), keys.privateKey);
}

function terms(name: string, extensions: InstanceType<typeof x509.Extension>[]) {
  const notBefore = new Date(Date.now() - DAY_MS);
  const notAfter = new Date(Date.now() + DAY_MS);
  return { name: `CN=${name}`, notBefore, notAfter, signingAlgorithm, extensions };
}

function alternativeNames(names: readonly Name[]): x509.Extension[] {
  const typed = names.map((name) =>
    typeof name === 'string' ? { type: 'dns' as const, value: name } : name,
  );
  return typed.length > 0 ? [new x509.SubjectAlternativeNameExtension(typed)] : [];
}

function newKeys() {
  return webcrypto.subtle.generateKey(signingAlgorithm, true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

async function save(
  folder: string,
  name: string,
  cert: string,
  privateKey: webcrypto.CryptoKey,
): Promise<Pair> {
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY');
  const certPath = join(folder, `${name}.cert.pem`);
  const keyPath = join(folder, `${name}.key.pem`);
  await Promise.all([writeFile(certPath, cert), writeFile(keyPath, key)]);
  return { certPath, keyPath, cert: Buffer.from(cert), key: Buffer.from(key) };
}
