import { createPublicKey, type JsonWebKey } from 'node:crypto';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';
import { ScopeUnavailableError } from './scope.js';

/** The issuer's public keys themselves. They stay what they are until the server starts again. */
export interface LocalKeys {
  readonly jwks: JSONWebKeySet;
}

/** Where the issuer serves its public keys. They are fetched when first needed, and again for a `kid` that is new. */
export interface RemoteKeys {
  /** `https:`, or `http:` on this machine only: who can change the keys on their way can be anybody. */
  readonly jwksUri: string | URL;
  /** How long a fetch may take, in milliseconds. Default: 3000. */
  readonly timeoutMs?: number;
  /** For how long fetched keys are trusted, also after the issuer withdrew one, in milliseconds. Default: 10 minutes. */
  readonly cacheMs?: number;
  /** After a fetch, for how long an unknown `kid` does not cause another, in milliseconds. Default: 10 seconds. */
  readonly cooldownMs?: number;
}

/** Finds the key that a token names. @throws TypeError the keys, or their address, cannot be used */
export function keysFrom(source: LocalKeys | RemoteKeys): JWTVerifyGetKey {
  return 'jwks' in source ? localKeys(source.jwks) : remoteKeys(source);
}

function localKeys(jwks: JSONWebKeySet): JWTVerifyGetKey {
  if (!Array.isArray(jwks?.keys)) throw new TypeError('jwks is not a JSON Web Key Set');
  // Keys of other types may be in the set for purposes of their own (RFC 7517, section 5).
  const keys = jwks.keys.filter(({ kty }) => kty === 'RSA' || kty === 'EC' || kty === 'OKP');
  if (keys.length === 0) throw new TypeError('jwks holds no public key');
  for (const [index, key] of keys.entries()) {
    if (key.d !== undefined) throw new TypeError(`jwks holds a private key, number ${index + 1}`);
    assertUsable(key as JsonWebKey, index);
  }
  return createLocalJWKSet({ keys });
}

function assertUsable(key: JsonWebKey, index: number): void {
  try {
    createPublicKey({ key, format: 'jwk' });
  } catch {
    throw new TypeError(`jwks: key number ${index + 1} is not a public key`);
  }
}

/** What is wrong with the token, and not with the way to the keys. */
const TOKEN_FAULTS = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported];

function remoteKeys(source: RemoteKeys): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(addressOf(source.jwksUri), {
    timeoutDuration: milliseconds('timeoutMs', source.timeoutMs ?? 3_000),
    cacheMaxAge: milliseconds('cacheMs', source.cacheMs ?? 600_000),
    cooldownDuration: milliseconds('cooldownMs', source.cooldownMs ?? 10_000),
  });
  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (error) {
      if (TOKEN_FAULTS.some((fault) => error instanceof fault)) throw error;
      throw new ScopeUnavailableError('the keys of the issuer cannot be fetched', { cause: error });
    }
  };
}

const THIS_MACHINE = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

function addressOf(uri: string | URL): URL {
  if (!URL.canParse(String(uri))) throw new TypeError('jwksUri is not a URL');
  const url = new URL(uri);
  const isLocal = url.protocol === 'http:' && THIS_MACHINE.test(url.hostname);
  if (url.protocol !== 'https:' && !isLocal) {
    throw new TypeError('jwksUri must be https:, or http: on a loopback address');
  }
  if (url.username || url.password) throw new TypeError('jwksUri must not hold a user or a password');
  return url;
}

function milliseconds(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new TypeError(`${name} must be a whole number of milliseconds`);
}
