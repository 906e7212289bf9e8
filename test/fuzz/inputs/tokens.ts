import { createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import fc from 'fast-check';
import { AUDIENCE, ISSUER } from '../../helpers/identities/tokens.js';
import { type Mutation, mutateText, mutations } from './mutations.js';

/** A token before it is signed, and how its entry is written. */
export interface TokenInput {
  readonly header: string;
  readonly claims: string;
  readonly signer: keyof typeof signers;
  /** The texts around the token in the entry. */
  readonly around: readonly [string, string];
  readonly changes: readonly Mutation[];
  /** How often the entry is sent. */
  readonly copies: number;
}

/** An Ed25519 key from fixed bytes, so that a token is the same in every run. */
const keyOf = (byte: number): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, byte)]),
    format: 'der',
    type: 'pkcs8',
  });
const keys = { one: keyOf(1), two: keyOf(2), stranger: keyOf(3) };

/** The public keys of the issuer, by `kid`. */
export const publicKeys: Readonly<Record<string, KeyObject>> = {
  one: createPublicKey(keys.one),
  two: createPublicKey(keys.two),
};
/** The key set of the issuer. */
export const jwks = {
  keys: Object.entries(publicKeys).map(([kid, key]) => ({ ...key.export({ format: 'jwk' }), kid })),
};

const pem = (key: KeyObject) => createPublicKey(key).export({ format: 'pem', type: 'spki' });
const signers = {
  one: (text: string) => sign(null, Buffer.from(text), keys.one),
  two: (text: string) => sign(null, Buffer.from(text), keys.two),
  stranger: (text: string) => sign(null, Buffer.from(text), keys.stranger),
  nobody: () => Buffer.alloc(0),
  'the public key as a secret': (text: string) => createHmac('sha256', pem(keys.one)).update(text).digest(),
};

/** Returns the value of the metadata entry `authorization`. */
export function entryOf({ header, claims, signer, around, changes }: TokenInput): string {
  const text = [header, claims].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const token = `${text}.${signers[signer](text).toString('base64url')}`;
  return `${around[0]}${changes.length > 0 ? mutateText(token, changes) : token}${around[1]}`;
}

/** The year 2100, in seconds since 1970. Tokens must not expire between a run and its repeat. */
const FAR = 4_102_444_800;
const hostile = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1e300,
    '',
    ' ',
    [],
    {},
    ['ada'],
    { toString: 'x' },
    '__proto__',
  ),
  fc.constantFrom<unknown>(FAR, String(FAR), 1, [AUDIENCE], ['x', AUDIENCE], AUDIENCE, ISSUER, `${ISSUER}/`),
  fc.constantFrom<unknown>(
    'ada',
    'a'.repeat(1_024),
    'a'.repeat(1_025),
    '\ud800',
    'é',
    'e\u0301',
    '\0',
    'a,b',
    '"',
  ),
  fc.string(),
);
const goodClaims = { iss: ISSUER, aud: AUDIENCE, sub: 'ada', exp: FAR };
const goodHeader = { alg: 'EdDSA', kid: 'one' };
const changed = (good: object, names: readonly string[], values: fc.Arbitrary<unknown>) =>
  fc
    .array(fc.tuple(fc.constantFrom(...names), values), { maxLength: 2 })
    .map((changes) => JSON.stringify({ ...good, ...Object.fromEntries(changes) }));
const headerValues = fc.oneof(
  fc.constantFrom<unknown>('none', 'None', 'HS256', 'EdDSA', 'Ed25519', 'ES256', 'RS256', 'one', 'two', 'x'),
  fc.constantFrom<unknown>(
    ['exp'],
    ['b64'],
    [],
    false,
    'JWT',
    '../../one',
    jwks.keys[0],
    'https://evil.example',
  ),
  hostile,
);

const rarely = <T>(usual: T, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary });

/** Tokens with hostile claims, headers, signatures and forms. */
export const tokenInputs: fc.Arbitrary<TokenInput> = fc.record({
  header: fc.oneof(
    fc.constant(JSON.stringify(goodHeader)),
    changed(goodHeader, ['alg', 'kid', 'crit', 'b64', 'typ', 'jwk', 'jku', 'x5u', 'enc'], headerValues),
  ),
  claims: fc.oneof(
    { weight: 6, arbitrary: changed(goodClaims, ['iss', 'aud', 'sub', 'exp', 'nbf', 'iat', 'jti'], hostile) },
    { weight: 1, arbitrary: fc.constantFrom('', 'null', '[]', '{', '"ada"', '{"sub":"ada","sub":"root"}') },
  ),
  signer: rarely<TokenInput['signer']>(
    'one',
    fc.constantFrom('two', 'stranger', 'nobody', 'the public key as a secret'),
  ),
  around: rarely<readonly [string, string]>(
    ['Bearer ', ''],
    fc.constantFrom<readonly [string, string]>(
      ...[
        ['bearer  ', ''] as const,
        ['Basic ', ''] as const,
        ['', ''] as const,
        ['Bearer ', ', Bearer x'] as const,
      ],
      ...[['Bearer ', ' '] as const, ['Bearer ', 'A'.repeat(17_000)] as const, ['Bearer ', '.x.x'] as const],
    ),
  ),
  changes: rarely<readonly Mutation[]>([], mutations),
  copies: rarely(1, fc.constantFrom(0, 2)),
});
