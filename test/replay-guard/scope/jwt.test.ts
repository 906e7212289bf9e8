import { constants, createHmac, KeyObject, sign as signBytes, type webcrypto } from 'node:crypto';
import { Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type JwtScopeOptions, scopeFromJwt, scopeOfToken } from 'grpc-replay-guard/jwt';
import { exportSPKI, type JWTPayload } from 'jose';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { sendRawCall } from '../../helpers/calls/raw-call.js';
import {
  AUDIENCE,
  bearer,
  goodClaims,
  ISSUER,
  keySet,
  newSigningKey,
  nowSeconds,
  sign,
} from '../../helpers/identities/tokens.js';
import { type Ledger, openLedger } from '../../helpers/servers/guarded-ledger.js';

type Test = ExecutionContext;

const [key, other, rsa, ed] = await Promise.all([
  newSigningKey('one'),
  newSigningKey('two'),
  newSigningKey('rsa', 'RS256'),
  newSigningKey('ed', 'EdDSA'),
]);
const jwks = keySet(key, other, rsa, ed);
const rules = { issuer: ISSUER, audience: AUDIENCE };

const open = (t: Test, options: Partial<JwtScopeOptions> = {}): Promise<Ledger> =>
  openLedger(t, 'memory', { guard: { scope: scopeFromJwt({ ...rules, jwks, ...options }) } });

const refused = async (t: Test, ledger: Ledger, authorization: string, title = '') => {
  const reply = await ledger.append('key', {}, { metadata: { authorization } });
  t.is(ledger.entered, 0, title);
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
};

const json = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('a valid token identifies the caller with every default algorithm', async (t) => {
  const ledger = await open(t);
  for (const [index, by] of [key, rsa, ed].entries()) {
    // Each token is different. All tokens have the same caller.
    const metadata = await bearer(by, { jti: String(index) });
    t.like(await ledger.append('key', {}, { metadata }), { code: status.OK, replayed: index > 0 }, by.alg);
  }
  const bob = await bearer(key, { sub: 'bob' });
  t.like(await ledger.append('key', {}, { metadata: bob }), { code: status.OK, replayed: false });
  t.is(ledger.entered, 2);
});

test('the bearer scheme in any case, an audience list and an nbf claim are accepted', async (t) => {
  const ledger = await open(t);
  const token = await sign(key, goodClaims({ aud: ['other', AUDIENCE], nbf: nowSeconds() - 60 }));
  for (const scheme of ['Bearer ', 'bearer ', 'BEARER ', 'Bearer  ']) {
    const reply = await ledger.append('key', {}, { metadata: { authorization: scheme + token } });
    t.is(reply.code, status.OK, scheme);
  }
  t.is(ledger.entered, 1);
});

test('clockToleranceMs sets the accepted difference between the clocks', async (t) => {
  const authorization = `Bearer ${await sign(key, goodClaims({ exp: nowSeconds() - 60, nbf: nowSeconds() + 60 }))}`;
  await refused(t, await open(t), authorization);
  const ledger = await open(t, { clockToleranceMs: 120_000 });
  t.is((await ledger.append('key', {}, { metadata: { authorization } })).code, status.OK);
});

const claims: Record<string, JWTPayload> = {
  'of another issuer': { iss: 'https://mallory.example' },
  'of an issuer with a similar name': { iss: `${ISSUER}/` },
  'of no issuer': { iss: undefined } as unknown as JWTPayload,
  'for another audience': { aud: 'bank' },
  'for other audiences': { aud: ['bank', `${AUDIENCE}2`] },
  'for no audience': { aud: undefined } as unknown as JWTPayload,
  'that has expired': { exp: nowSeconds() - 60 },
  'that never expires': { exp: undefined } as unknown as JWTPayload,
  'with a text as expiry': { exp: '99999999999' as unknown as number },
  'that is not yet valid': { nbf: nowSeconds() + 600 },
  'without a name': { sub: undefined } as unknown as JWTPayload,
  'with an empty name': { sub: '' },
  'with a name that is too long': { sub: 'a'.repeat(1025) },
};
for (const name of [1, true, null, ['ada'], { name: 'ada' }]) {
  claims[`with the name ${JSON.stringify(name)}`] = { sub: name as unknown as string };
}
for (const [title, changes] of Object.entries(claims)) {
  test(`a token ${title} is refused`, async (t) => {
    const token = await sign(key, goodClaims(changes));
    const ledger = await open(t);
    await refused(t, ledger, `Bearer ${token}`);
    t.is(await ledger.store.estimateRecords(), 0);
    t.deepEqual(ledger.outcomes.failures, []);
  });
}

/** Forged tokens, made from the parts of a valid token. */
const forgeries: Record<string, (header: string, payload: string, signature: string) => unknown> = {
  'with alg none and no signature': (_, payload) => `${json({ alg: 'none' })}.${payload}.`,
  'with alg none and a signature': (_, payload, signature) =>
    `${json({ alg: 'none' })}.${payload}.${signature}`,
  'with alg None': (_, payload, signature) => `${json({ alg: 'None' })}.${payload}.${signature}`,
  'with a changed name': (header, _, signature) =>
    `${header}.${json(goodClaims({ sub: 'root' }))}.${signature}`,
  'with a changed header': (_, payload, signature) =>
    `${json({ alg: 'ES256', kid: 'one', x: 1 })}.${payload}.${signature}`,
  'with a truncated signature': (header, payload, signature) =>
    `${header}.${payload}.${signature.slice(0, -4)}`,
  'with additional parts': (header, payload, signature) => `${header}.${payload}.${signature}.x.x`,
  'with an embedded key': async () => {
    const mallory = await newSigningKey('one');
    return sign(mallory, goodClaims(), { jwk: mallory.jwk });
  },
  'by an unknown key under a known kid': async () => sign(await newSigningKey('one'), goodClaims()),
  'by an unknown key under an unknown kid': async () => sign(await newSigningKey('mallory'), goodClaims()),
  'without a kid, for a set of several keys': () => sign(key, goodClaims(), { kid: undefined }),
  'with the kid of another key in the set': () => sign(key, goodClaims(), { kid: 'two' }),
  'by an algorithm that is not accepted': () => ps256(),
  'with an unknown critical header': () => sign(key, goodClaims(), { crit: ['exp2'], exp2: 1 }),
};
for (const [title, forge] of Object.entries(forgeries)) {
  test(`a token ${title} is refused`, async (t) => {
    const [header = '', payload = '', signature = ''] = (await sign(key, goodClaims())).split('.');
    await refused(t, await open(t), `Bearer ${await forge(header, payload, signature)}`);
  });
}

/** A PS256 token, signed by the RS256 key of the set. */
function ps256(): string {
  const content = `${json({ alg: 'PS256', kid: 'rsa' })}.${json(goodClaims())}`;
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const signed = { key: KeyObject.from(rsa.keys.privateKey as webcrypto.CryptoKey), ...options };
  return `${content}.${signBytes('sha256', Buffer.from(content), signed).toString('base64url')}`;
}

test('a token is accepted if the options include its algorithm', async (t) => {
  const ledger = await open(t, { algorithms: ['PS256'] });
  const metadata = { authorization: `Bearer ${ps256()}` };
  t.is((await ledger.append('key', {}, { metadata })).code, status.OK);
  const reply = await ledger.append('key', {}, { metadata: await bearer(rsa) });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
});

const hs256 = (secret: string | Buffer, kid = 'rsa') => {
  const content = `${json({ alg: 'HS256', kid })}.${json(goodClaims())}`;
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`;
};

test('a public key is never used as a shared secret', async (t) => {
  const pem = await exportSPKI(rsa.keys.publicKey);
  const secrets = [pem, pem.trim(), JSON.stringify(rsa.jwk), Buffer.from(rsa.jwk.n as string, 'base64url')];
  const ledger = await open(t);
  for (const secret of secrets) await refused(t, ledger, `Bearer ${hs256(secret)}`);
});

test('a call needs exactly one bearer token in the authorization entry', async (t) => {
  const ledger = await open(t);
  const token = await sign(key, goodClaims());
  const entries = ['', token, 'Bearer', 'Bearer ', `Basic ${token}`, `Bearer ${token} x`, `Bearer${token}`];
  entries.push(`Bearer ${token}, Bearer ${token}`, `Bearer ${token},Bearer ${token}`, `x, Bearer ${token}`);
  for (const entry of entries) await refused(t, ledger, entry, entry);
  const elsewhere = { 'x-authorization': `Bearer ${token}`, 'proxy-authorization': `Bearer ${token}` };
  for (const metadata of [{}, elsewhere]) {
    const reply = await ledger.append('key', {}, { metadata });
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
  t.is(ledger.entered, 0);
});

test('a call with two Authorization headers is refused', async (t) => {
  const ledger = await open(t);
  const [ada, bob] = [await bearer(key), await bearer(key, { sub: 'bob' })];
  const pairs = [
    [ada.authorization, bob.authorization],
    [ada.authorization, ada.authorization],
    [ada.authorization, ''],
    ['', bob.authorization],
    ['Bearer nonsense', bob.authorization],
    [ada.authorization, 'Bearer\tnonsense'],
    [`${ada.authorization}\u00e9`, bob.authorization],
  ] as const;
  for (const [i, pair] of pairs.entries()) {
    await sendRawCall(t, ledger.server.address, ledger.definition.Append.path, [
      ...pair.map((value) => ['authorization', value] as const),
      ['idempotency-key', 'key'],
    ]);
    await ledger.outcomes.reached('refused', i + 1);
  }
  t.is(ledger.entered, 0);
  t.like(await ledger.append('key', {}, { metadata: ada }), { code: status.OK, replayed: false });
});

test('metadata with two authorization entries has no scope', async (t) => {
  const metadata = new Metadata();
  const { authorization } = await bearer(key);
  metadata.add('authorization', authorization);
  t.truthy(await scopeFromJwt({ ...rules, jwks })({ metadata }));
  metadata.add('authorization', authorization);
  t.is(await scopeFromJwt({ ...rules, jwks })({ metadata }), undefined);
});

test('a token that is too large is refused', async (t) => {
  const ledger = await open(t);
  const large = (length: number) => bearer(key, { filler: 'x'.repeat(length) });
  t.like(await ledger.append('a', {}, { metadata: await large(8_000) }), { code: status.OK });
  const reply = await ledger.append('b', {}, { metadata: await large(13_000) });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  t.is(ledger.entered, 1);
});

test('a token without a kid is verified if the set has a single key', async (t) => {
  const { kid: _, ...jwk } = key.jwk;
  const ledger = await open(t, { jwks: { keys: [jwk] } });
  const token = await sign(key, goodClaims(), { kid: undefined });
  const reply = await ledger.append('key', {}, { metadata: { authorization: `Bearer ${token}` } });
  t.is(reply.code, status.OK, reply.details);
});

test('different issuers, claims or names give different scopes', async (t) => {
  const names = ['ada', 'b', '["ada"]', 'a","sub","b', '\ud800', '\ud801', '\ufffd', 'a\u0000', 'jwt:'];
  const issuers = [ISSUER, `${ISSUER}","sub","a`];
  // Compared as bytes, as in the ids of records.
  const scopes = new Set<string>();
  for (const issuer of issuers) {
    for (const claim of ['sub', 'email', 'https://shop.example/tenant']) {
      const scope = scopeFromJwt({ ...rules, issuer, claim, jwks });
      for (const name of names) {
        const metadata = new Metadata();
        const { authorization } = await bearer(key, { iss: issuer, sub: 'everybody', [claim]: name });
        metadata.set('authorization', authorization);
        scopes.add(Buffer.from((await scope({ metadata })) ?? '').toString('hex'));
      }
    }
  }
  t.is(scopes.size, issuers.length * 3 * names.length);
  t.false(scopes.has(''));
});

test('eraseScope with the scope of a token owner erases the replies of the owner', async (t) => {
  const ledger = await open(t);
  const metadata = await bearer(key);
  await ledger.append('key', {}, { metadata });
  const name = String(goodClaims().sub);
  for (const other of [
    { issuer: `${ISSUER}/`, name },
    { issuer: ISSUER, name: name.toUpperCase() },
  ])
    t.is((await ledger.guard.eraseScope(scopeOfToken(other))).erased, 0);
  t.is((await ledger.guard.eraseScope(scopeOfToken({ issuer: ISSUER, name }))).erased, 1);
  t.is((await ledger.append('key', {}, { metadata })).code, status.DATA_LOSS);
});

test('one name from two issuers is two callers', async (t) => {
  const first = await open(t);
  const issuer = 'https://other.example';
  const second = await openLedger(t, 'memory', {
    opened: { store: first.store } as never,
    guard: { scope: scopeFromJwt({ ...rules, issuer, jwks }) },
  });
  t.like(await first.append('key', {}, { metadata: await bearer(key) }), { replayed: false });
  const reply = await second.append('key', {}, { metadata: await bearer(key, { iss: issuer }) });
  t.like(reply, { code: status.OK, replayed: false });
  t.is(first.entered + second.entered, 2);
});

const secretKey = { kty: 'oct', k: Buffer.from('secret').toString('base64url'), kid: 'one' };
test('keys of unsupported types in the set are ignored', async (t) => {
  const ledger = await open(t, { jwks: { keys: [secretKey, { kty: 'AKP', pub: 'x' }, key.jwk] } });
  t.is((await ledger.append('key', {}, { metadata: await bearer(key) })).code, status.OK);
  await refused(
    t,
    await open(t, { jwks: { keys: [secretKey, key.jwk] } }),
    `Bearer ${hs256('secret', 'one')}`,
  );
});
