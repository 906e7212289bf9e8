import { verify } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import { ScopeUnavailableError } from 'grpc-replay-guard';
import { scopeFromJwt, scopeOfToken } from 'grpc-replay-guard/jwt';
import { decodeJwt, type JSONWebKeySet } from 'jose';
import { AUDIENCE, ISSUER } from '../../helpers/identities/tokens.js';
import { entryOf, jwks, publicKeys, type TokenInput, tokenInputs } from '../inputs/tokens.js';
import { must, type Target } from '../target.js';

/** The maximum time of one verification, in milliseconds. The largest entry is 17 KB. */
const MAX_MS = 1_000;

/** Bearer tokens, against an independent verification. */
export const tokensTarget: Target<TokenInput> = {
  title: 'bearer tokens and their claims',
  inputs: tokenInputs,
  quickRuns: 1_000,
  requires: ['accepted', 'refused'],
  planted: 'the signature of a token is not checked',
  open(_t, { planted, count }) {
    const rules = { jwks: jwks as JSONWebKeySet, issuer: ISSUER, audience: AUDIENCE };
    const scopeOf = planted ? scopeOfUnverified : scopeFromJwt(rules);
    return {
      async check(input) {
        const metadata = new Metadata();
        const entry = entryOf(input);
        try {
          for (let copy = 0; copy < input.copies; copy++) metadata.add('authorization', entry);
        } catch {
          return count('not carried by gRPC');
        }
        const beganAt = performance.now();
        const scope = await attempt(() => scopeOf({ metadata }));
        must(performance.now() - beganAt < MAX_MS, 'the verification took too long');
        const name = input.copies === 1 ? ownerIn(entry) : undefined;
        if (scope === undefined) {
          must(name === undefined || input.header !== '{"alg":"EdDSA","kid":"one"}', `${name} is refused`);
          return count('refused');
        }
        must(name !== undefined, `a token that nobody signed has the scope ${scope}`);
        must(scope === scopeOfToken({ issuer: ISSUER, name }), `the scope of ${name} is ${scope}`);
        count('accepted');
      },
    };
  },
};

/** Undefined stands for a refusal as UNAUTHENTICATED: no scope, or an error. */
async function attempt(work: () => string | undefined | Promise<string | undefined>) {
  try {
    return await work();
  } catch (error) {
    must(error instanceof Error && !(error instanceof ScopeUnavailableError), `refused by ${String(error)}`);
    return undefined;
  }
}

/** The planted bug. */
function scopeOfUnverified({ metadata }: { metadata: Metadata }): string | undefined {
  const [, token = ''] = /^Bearer (.*)$/.exec(String(metadata.get('authorization')[0])) ?? [];
  const name = decodeJwt(token).sub;
  return typeof name === 'string' ? scopeOfToken({ issuer: ISSUER, name }) : undefined;
}

/** Verifies an entry as RFC 7515, RFC 7519 and RFC 6750 say. Returns the name of the caller. */
function ownerIn(entry: string): string | undefined {
  const [, header = '', payload = '', signature = ''] =
    /^bearer +([\w-]+)\.([\w-]+)\.([\w-]+)$/i.exec(entry) ?? [];
  const [head, claims] = [header, payload].map(objectIn);
  if (!head || !claims || entry.length > 16_384) return undefined;
  const key = typeof head.kid === 'string' && Object.hasOwn(publicKeys, head.kid) && publicKeys[head.kid];
  if (!key || head.alg !== 'EdDSA' || 'crit' in head) return undefined;
  const signed = Buffer.from(`${header}.${payload}`);
  if (!verify(null, signed, key, Buffer.from(signature, 'base64url'))) return undefined;
  const { iss, aud, sub, exp, nbf } = claims;
  const now = Date.now() / 1_000;
  const isFor = aud === AUDIENCE || (Array.isArray(aud) && aud.includes(AUDIENCE));
  if (iss !== ISSUER || !isFor || typeof exp !== 'number' || exp < now) return undefined;
  if (nbf !== undefined && !(typeof nbf === 'number' && nbf <= now)) return undefined;
  if ('iat' in claims && typeof claims.iat !== 'number') return undefined;
  return typeof sub === 'string' && sub !== '' && sub.length <= 1_024 ? sub : undefined;
}

function objectIn(part: string): Record<string, unknown> | undefined {
  try {
    const text = new TextDecoder('utf-8').decode(Buffer.from(part, 'base64url'));
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
