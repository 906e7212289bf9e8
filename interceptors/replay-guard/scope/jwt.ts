import type { Metadata } from '@grpc/grpc-js';
import { type JWTVerifyOptions, jwtVerify } from 'jose';
import { keysFrom, type LocalKeys, type RemoteKeys } from './jwt-keys.js';
import type { ScopeSource } from './scope.js';

export type { LocalKeys, RemoteKeys };

/** What a token must have to say who is calling. */
export interface JwtRules {
  /** The `iss` of every token. */
  readonly issuer: string;
  /** Must be the `aud` of every token, or among them. */
  readonly audience: string;
  /** The claim that names the caller. Default: `sub`. */
  readonly claim?: string;
  /** The signature algorithms that are accepted, out of `jwtAlgorithms`. Default: RS256, ES256, EdDSA. */
  readonly algorithms?: readonly string[];
  /** How far the issuer's clock may be from ours, in milliseconds, at most 5 minutes. Default: 5000. */
  readonly clockToleranceMs?: number;
}

export type JwtScopeOptions = JwtRules & (LocalKeys | RemoteKeys);

/** Every algorithm that may be accepted. All are asymmetric: with a shared secret, verifiers could forge tokens. */
export const jwtAlgorithms: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** The largest Authorization entry that is looked at, in characters. */
const LONGEST_ENTRY = 16 * 1024;
/** The longest caller's name, in characters: it is stored with every record. */
const LONGEST_NAME = 1024;
const MOST_TOLERANCE_MS = 300_000;

/**
 * The caller that a JSON Web Token names, sent as `authorization: Bearer TOKEN`: its issuer together with one
 * claim. The token must be signed by a key of the issuer's, be for the audience, and have an expiry to come.
 * Verified for every call. Where the keys cannot be fetched, the call is refused as UNAVAILABLE.
 * @throws TypeError an option is missing or wrong
 */
export function scopeFromJwt(options: JwtScopeOptions): ScopeSource {
  const { issuer, claim = 'sub' } = options;
  assertText({ issuer, audience: options.audience, claim });
  const rules = verification(options);
  const keys = keysFrom(options);
  return async ({ metadata }) => {
    const token = bearerToken(metadata);
    if (token === undefined) return undefined;
    const { payload } = await jwtVerify(token, keys, rules);
    const name = payload[claim];
    if (typeof name !== 'string' || name === '' || name.length > LONGEST_NAME) return undefined;
    // As JSON no two lists are the same text, also where a name is no well-formed Unicode.
    return `jwt:${JSON.stringify([issuer, claim, name])}`;
  };
}

function verification(options: JwtRules): JWTVerifyOptions {
  const { issuer, audience, algorithms = ['RS256', 'ES256', 'EdDSA'], clockToleranceMs = 5_000 } = options;
  if (algorithms.length === 0 || !algorithms.every((name) => jwtAlgorithms.includes(name))) {
    throw new TypeError(`algorithms must be one or more of ${jwtAlgorithms.join(', ')}`);
  }
  if (!(clockToleranceMs >= 0 && clockToleranceMs <= MOST_TOLERANCE_MS)) {
    throw new TypeError(`clockToleranceMs must be from 0 to ${MOST_TOLERANCE_MS}`);
  }
  return {
    ...{ issuer, audience, algorithms: [...algorithms], clockTolerance: clockToleranceMs / 1_000 },
    // Without it a token that got lost would be good for ever.
    requiredClaims: ['exp'],
  };
}

function assertText(options: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(options)) {
    if (typeof value !== 'string' || !value) throw new TypeError(`${name} must be a text that is not empty`);
  }
}

const BEARER = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i;

function bearerToken(metadata: Metadata): string | undefined {
  const [entry, ...others] = metadata.get('authorization');
  if (typeof entry !== 'string' || others.length > 0 || entry.length > LONGEST_ENTRY) return undefined;
  return BEARER.exec(entry)?.[1];
}
