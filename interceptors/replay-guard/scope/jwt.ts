import type { Metadata } from '@grpc/grpc-js';
import { type JWTVerifyOptions, jwtVerify } from 'jose';
import { assertKnownOptions, type OptionNames } from '../../options/known-options.js';
import { keysFrom, type LocalKeys, type RemoteKeys } from './jwt-keys.js';
import type { ScopeSource } from './scope.js';

export type { LocalKeys, RemoteKeys };

/** The requirements for a token that identifies the caller. */
export interface JwtRules {
  /** The required `iss` of every token, compared exactly: `https://a` and `https://a/` are two issuers. */
  readonly issuer: string;
  /** The required `aud` of every token. If a token has several audiences, one of them must be equal. */
  readonly audience: string;
  /**
   * The claim that names the caller. The value must be a text. A token with another value has no scope. Values are
   * compared exactly, so choose a claim whose value never changes. Default: `sub`.
   */
  readonly claim?: string;
  /** The accepted signature algorithms, a subset of `jwtAlgorithms`. Default: RS256, ES256, EdDSA. */
  readonly algorithms?: readonly string[];
  /**
   * The permitted difference between the issuer's clock and this server's, in milliseconds. From 0 to 300,000.
   * Default: 5,000.
   */
  readonly clockToleranceMs?: number;
}

/** The options of `scopeFromJwt`: the token rules, and either a fixed key set or the address of a key set. */
export type JwtScopeOptions = JwtRules & (LocalKeys | RemoteKeys);

/**
 * All supported signature algorithms. All are asymmetric, because a verifier with a shared secret could forge tokens.
 */
export const jwtAlgorithms: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** The maximum length of an Authorization entry, in characters. */
const MAX_ENTRY_LENGTH = 16 * 1024;
/** The maximum length of a caller's name, in characters. The name is part of the scope of every record. */
const MAX_NAME_LENGTH = 1024;
const MAX_CLOCK_TOLERANCE_MS = 300_000;

/**
 * Returns a scope source that reads the scope from a JSON Web Token (RFC 7519) in `authorization: Bearer TOKEN` (RFC
 * 6750). The scope is the issuer together with one claim of the token. The guard verifies the token of every call:
 * the signature, the issuer, the audience and the expiry. The expiry is required. If the keys cannot be fetched, the
 * scope source throws `ScopeUnavailableError` and the guard refuses the call as UNAVAILABLE.
 * @throws TypeError if an option is unknown, missing or invalid; the message names the option
 */
export function scopeFromJwt(options: JwtScopeOptions): ScopeSource {
  if (typeof options === 'object' && options !== null && 'jwks' in options)
    assertKnownOptions<JwtRules & LocalKeys>('scopeFromJwt', options, localNames);
  else assertKnownOptions<JwtRules & RemoteKeys>('scopeFromJwt', options, remoteNames);
  const { issuer, claim = 'sub' } = options;
  assertText({ issuer, audience: options.audience, claim });
  const rules = verification(options);
  const keys = keysFrom(options);
  return async ({ metadata }) => {
    const token = bearerToken(metadata);
    if (token === undefined) return undefined;
    const { payload } = await jwtVerify(token, keys, rules);
    const name = payload[claim];
    if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH) return undefined;
    return scopeOfToken({ issuer, claim, name });
  };
}

/** The claims of a token that identify the caller. */
export interface TokenOwner {
  /** The `iss` of the token. */
  readonly issuer: string;
  /** The claim that names the caller. Default: `sub`. */
  readonly claim?: string;
  /** The value of that claim. */
  readonly name: string;
}

/**
 * Returns the scope that `scopeFromJwt` gives to a caller, for example for `eraseScope`. All parts are compared exactly
 * (RFC 7519, section 2, StringOrURI): by letter case, a final slash and the Unicode form.
 */
export function scopeOfToken({ issuer, claim = 'sub', name }: TokenOwner): string {
  // Two different lists always have different JSON texts, also if a name is not well-formed Unicode.
  return `jwt:${JSON.stringify([issuer, claim, name])}`;
}

const ruleNames: OptionNames<JwtRules> = {
  ...{ issuer: true, audience: true, claim: true, algorithms: true, clockToleranceMs: true },
};
// The options of a fetch have no effect on a fixed key set.
const localNames: OptionNames<JwtRules & LocalKeys> = { ...ruleNames, jwks: true };
const remoteNames: OptionNames<JwtRules & RemoteKeys> = {
  ...ruleNames,
  ...{ jwksUri: true, timeoutMs: true, cacheMs: true, cooldownMs: true },
};

function verification(options: JwtRules): JWTVerifyOptions {
  const { issuer, audience, algorithms = ['RS256', 'ES256', 'EdDSA'], clockToleranceMs = 5_000 } = options;
  if (algorithms.length === 0 || !algorithms.every((name) => jwtAlgorithms.includes(name))) {
    throw new TypeError(`algorithms must be one or more of ${jwtAlgorithms.join(', ')}`);
  }
  if (!(clockToleranceMs >= 0 && clockToleranceMs <= MAX_CLOCK_TOLERANCE_MS)) {
    throw new TypeError(`clockToleranceMs must be from 0 to ${MAX_CLOCK_TOLERANCE_MS}`);
  }
  return {
    ...{ issuer, audience, algorithms: [...algorithms], clockTolerance: clockToleranceMs / 1_000 },
    // A token without an expiry would be valid forever, even after a leak.
    requiredClaims: ['exp'],
  };
}

function assertText(options: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(options)) {
    if (typeof value !== 'string' || !value) throw new TypeError(`${name} must be a non-empty text`);
  }
}

const BEARER = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i;

function bearerToken(metadata: Metadata): string | undefined {
  const [entry, ...others] = metadata.get('authorization');
  if (typeof entry !== 'string' || others.length > 0 || entry.length > MAX_ENTRY_LENGTH) return undefined;
  return BEARER.exec(entry)?.[1];
}
