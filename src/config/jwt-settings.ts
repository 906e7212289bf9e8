import { jwtAlgorithms } from 'grpc-replay-guard/jwt';
import { z } from 'zod';
import type { CallerIdentity, KeyLocation, TokenIdentity } from './caller-identity.js';
import { filePath, refuse } from './settings.js';

/** A text that starts with `http:` or `https:` is a URL. Any other text is the path of a file. */
const keyLocation = filePath('a file or a URL').transform(
  (text): KeyLocation => (/^https?:/i.test(text) ? { url: text } : { path: text }),
);

const algorithms = z.string().transform((text, context): readonly string[] => {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => jwtAlgorithms.includes(name))) return names;
  return refuse(context, `must be one or more of ${jwtAlgorithms.join(', ')}`);
});

const text = z.string().min(1, { error: 'must not be empty' });

/** The settings that CALLER_IDENTITY=jwt needs. No other identity allows them. */
export const jwtSettings = {
  JWT_JWKS: keyLocation.optional(),
  JWT_ISSUER: text.optional(),
  JWT_AUDIENCE: text.optional(),
  JWT_CLAIM: text.optional(),
  JWT_ALGORITHMS: algorithms.optional(),
  JWT_SELF_TOKEN_FILE: filePath('a file').optional(),
};

type JwtSettings = z.output<z.ZodObject<typeof jwtSettings>>;
type Name = keyof JwtSettings;

const NAMES = Object.keys(jwtSettings) as Name[];

/**
 * Yields each JWT setting that is missing or not allowed, with the reason.
 * @param usesRemoteInventory whether this server sends calls, and therefore its token, to a remote inventory
 */
export function* jwtConflicts(
  s: JwtSettings & { readonly CALLER_IDENTITY: Pick<CallerIdentity, 'kind'> },
  usesRemoteInventory: boolean,
): Generator<[Name, string]> {
  if (s.CALLER_IDENTITY.kind !== 'jwt') {
    for (const name of NAMES) {
      if (s[name] !== undefined) yield [name, 'allowed only when CALLER_IDENTITY is jwt'];
    }
    return;
  }
  for (const name of ['JWT_JWKS', 'JWT_ISSUER', 'JWT_AUDIENCE'] as const) {
    if (s[name] === undefined) yield [name, 'required when CALLER_IDENTITY is jwt'];
  }
  const hasToken = s.JWT_SELF_TOKEN_FILE !== undefined;
  if (usesRemoteInventory && !hasToken) {
    yield ['JWT_SELF_TOKEN_FILE', 'required when orders use a remote inventory'];
  }
  if (hasToken && !usesRemoteInventory) {
    yield ['JWT_SELF_TOKEN_FILE', 'allowed only when orders use a remote inventory'];
  }
}

/** Makes the token rules from settings that have no conflicts. */
export function toTokenIdentity(s: JwtSettings): TokenIdentity {
  const { JWT_CLAIM: claim, JWT_ALGORITHMS: names, JWT_SELF_TOKEN_FILE: ownTokenPath } = s;
  return {
    kind: 'jwt',
    keys: s.JWT_JWKS as KeyLocation,
    issuer: s.JWT_ISSUER as string,
    audience: s.JWT_AUDIENCE as string,
    ...(claim !== undefined && { claim }),
    ...(names && { algorithms: names }),
    ...(ownTokenPath !== undefined && { ownTokenPath }),
  };
}
