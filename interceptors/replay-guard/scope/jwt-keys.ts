import { createPublicKey, type JsonWebKey } from 'node:crypto';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';
import { isLoopback } from '../../options/loopback.js';
import { ScopeUnavailableError } from './scope.js';

/** The issuer's public keys as a fixed set. The keys change only when the server restarts. */
export interface LocalKeys {
  /** A JSON Web Key Set with public keys only (RFC 7517). */
  readonly jwks: JSONWebKeySet;
}

/**
 * The address of the issuer's public keys. The guard fetches the keys for the first token, and again for an unknown
 * `kid`.
 */
export interface RemoteKeys {
  /**
   * An `https:` URL, or an `http:` URL of a loopback address. With another `http:` URL, an attacker could replace the
   * keys.
   */
  readonly jwksUri: string | URL;
  /** The time limit of a fetch, in milliseconds. Default: 3,000. */
  readonly timeoutMs?: number;
  /**
   * How long fetched keys are trusted, in milliseconds. A withdrawn key is trusted until this time has passed.
   * Default: 10 minutes.
   */
  readonly cacheMs?: number;
  /**
   * The minimum time between a fetch and the next fetch for an unknown `kid`, in milliseconds. Default: 10
   * seconds.
   */
  readonly cooldownMs?: number;
}

/**
 * Returns the function that finds the key of a token.
 * @throws TypeError if the key set or its address is invalid
 */
export function keysFrom(source: LocalKeys | RemoteKeys): JWTVerifyGetKey {
  return 'jwks' in source ? localKeys(source.jwks) : remoteKeys(source);
}

function localKeys(jwks: JSONWebKeySet): JWTVerifyGetKey {
  if (!Array.isArray(jwks?.keys)) throw new TypeError('jwks is not a JSON Web Key Set');
  // A set may contain keys of other types, which are ignored (RFC 7517, section 5).
  const keys = jwks.keys.filter(({ kty }) => kty === 'RSA' || kty === 'EC' || kty === 'OKP');
  if (keys.length === 0) throw new TypeError('jwks holds no public key');
  for (const [index, key] of keys.entries()) {
    if (key.d !== undefined)
      throw new TypeError(`jwks must hold public keys only: key number ${index + 1} is a private key`);
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

/** The errors that a token causes. All other errors mean that the keys are unavailable. */
const TOKEN_ERRORS = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported];

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
      if (TOKEN_ERRORS.some((type) => error instanceof type)) throw error;
      throw new ScopeUnavailableError('the keys of the token issuer cannot be fetched', { cause: error });
    }
  };
}

function addressOf(uri: string | URL): URL {
  if (!URL.canParse(String(uri))) throw new TypeError('jwksUri is not a URL');
  const url = new URL(uri);
  const isLocal = url.protocol === 'http:' && isLoopback(url.hostname);
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
