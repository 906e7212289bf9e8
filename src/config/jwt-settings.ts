import { jwtAlgorithms } from 'grpc-replay-guard/jwt';
import { z } from 'zod';
import { type CallerIdentity, type KeyLocation, refuse, type TokenIdentity } from './settings.js';

/** An `http:` or `https:` URL; everything else is the path of a file. */
const keyLocation = z
  .string()
  .min(1, { error: 'must be the path of a file or a URL' })
  .transform((text): KeyLocation => (/^https?:/i.test(text) ? { url: text } : { path: text }));

const algorithms = z.string().transform((text, context): readonly string[] => {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => jwtAlgorithms.includes(name))) return names;
  return refuse(context, `must be one or more of ${jwtAlgorithms.join(', ')}`);
});

const text = z.string().min(1, { error: 'must not be empty' });

/** The settings that go with CALLER_IDENTITY=jwt, and with nothing else. */
export const jwtSettings = {
  JWT_JWKS: keyLocation.optional(),
  JWT_ISSUER: text.optional(),
  JWT_AUDIENCE: text.optional(),
  JWT_CLAIM: text.optional(),
  JWT_ALGORITHMS: algorithms.optional(),
  JWT_SELF_TOKEN_FILE: text.optional(),
};

type JwtSettings = z.output<z.ZodObject<typeof jwtSettings>>;
type Name = keyof JwtSettings;

const NAMES = Object.keys(jwtSettings) as Name[];

/**
 * Which of these settings is missing or has no business here, and why.
 * @param isFar whether this server asks an inventory elsewhere, which must be shown a token
 */
export function* jwtConflicts(
  s: JwtSettings & { readonly CALLER_IDENTITY: Pick<CallerIdentity, 'kind'> },
  isFar: boolean,
): Generator<[Name, string]> {
  if (s.CALLER_IDENTITY.kind !== 'jwt') {
    for (const name of NAMES) if (s[name] !== undefined) yield [name, 'only for CALLER_IDENTITY=jwt'];
    return;
  }
  for (const name of ['JWT_JWKS', 'JWT_ISSUER', 'JWT_AUDIENCE'] as const) {
    if (s[name] === undefined) yield [name, 'needed where CALLER_IDENTITY is jwt'];
  }
  const hasToken = s.JWT_SELF_TOKEN_FILE !== undefined;
  if (isFar && !hasToken) yield ['JWT_SELF_TOKEN_FILE', 'needed where the inventory is elsewhere'];
  if (hasToken && !isFar) yield ['JWT_SELF_TOKEN_FILE', 'only where the inventory is elsewhere'];
}

/** @param s settings without conflicts */
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
