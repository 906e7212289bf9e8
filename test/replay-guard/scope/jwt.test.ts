import { constants, createHmac, KeyObject, sign as signBytes, type webcrypto } from 'node:crypto';
import { Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type JwtScopeOptions, scopeFromJwt } from 'grpc-replay-guard/jwt';
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

test('a good token names the caller, whichever of the pinned algorithms signed it', async (t) => {
  const ledger = await open(t);
  for (const [index, by] of [key, rsa, ed].entries()) {
    // Another token every time, and always the same caller.
    const metadata = await bearer(by, { jti: String(index) });
    t.like(await ledger.append('key', {}, { metadata }), { code: status.OK, replayed: index > 0 }, by.alg);
  }
  const bob = await bearer(key, { sub: 'bob' });
  t.like(await ledger.append('key', {}, { metadata: bob }), { code: status.OK, replayed: false });
  t.is(ledger.entered, 2);
});

test('what may be written in several ways is understood in each', async (t) => {
  const ledger = await open(t);
  const token = await sign(key, goodClaims({ aud: ['other', AUDIENCE], nbf: nowSeconds() - 60 }));
  for (const scheme of ['Bearer ', 'bearer ', 'BEARER ', 'Bearer  ']) {
    const reply = await ledger.append('key', {}, { metadata: { authorization: scheme + token } });
    t.is(reply.code, status.OK, scheme);
  }
  t.is(ledger.entered, 1);
});

test('a clock that is a little off does no harm, and how little is an option', async (t) => {
  const authorization = `Bearer ${await sign(key, goodClaims({ exp: nowSeconds() - 60, nbf: nowSeconds() + 60 }))}`;
  await refused(t, await open(t), authorization);
  const ledger = await open(t, { clockToleranceMs: 120_000 });
  t.is((await ledger.append('key', {}, { metadata: { authorization } })).code, status.OK);
});

const claims: Record<string, JWTPayload> = {
  'of another issuer': { iss: 'https://mallory.example' },
  'of an issuer with a like name': { iss: `${ISSUER}/` },
  'of no issuer': { iss: undefined } as unknown as JWTPayload,
  'for another audience': { aud: 'bank' },
  'for other audiences': { aud: ['bank', `${AUDIENCE}2`] },
  'for no audience': { aud: undefined } as unknown as JWTPayload,
  'that has expired': { exp: nowSeconds() - 60 },
  'that never expires': { exp: undefined } as unknown as JWTPayload,
  'whose expiry is a text': { exp: '99999999999' as unknown as number },
  'that is not yet valid': { nbf: nowSeconds() + 600 },
  'that names nobody': { sub: undefined } as unknown as JWTPayload,
  'whose name is empty': { sub: '' },
  'whose name is too long': { sub: 'a'.repeat(1025) },
};
for (const name of [1, true, null, ['ada'], { name: 'ada' }]) {
  claims[`whose name is ${JSON.stringify(name)}`] = { sub: name as unknown as string };
}
for (const [title, changes] of Object.entries(claims)) {
  test(`a token ${title} is no identity`, async (t) => {
    const token = await sign(key, goodClaims(changes));
    const ledger = await open(t);
    await refused(t, ledger, `Bearer ${token}`);
    t.is(await ledger.store.estimateRecords(), 0);
    t.deepEqual(ledger.outcomes.failures, []);
  });
}

/** A token that is forged from a good one: its parts, and the claims as text. */
const forgeries: Record<string, (header: string, payload: string, signature: string) => unknown> = {
  'without a signature': (_, payload) => `${json({ alg: 'none' })}.${payload}.`,
  'with a signature of none': (_, payload, signature) => `${json({ alg: 'none' })}.${payload}.${signature}`,
  'with None for an algorithm': (_, payload, signature) => `${json({ alg: 'None' })}.${payload}.${signature}`,
  'whose name was changed': (header, _, signature) =>
    `${header}.${json(goodClaims({ sub: 'root' }))}.${signature}`,
  'whose header was changed': (_, payload, signature) =>
    `${json({ alg: 'ES256', kid: 'one', x: 1 })}.${payload}.${signature}`,
  'that is cut short': (header, payload, signature) => `${header}.${payload}.${signature.slice(0, -4)}`,
  'with a part too many': (header, payload, signature) => `${header}.${payload}.${signature}.x.x`,
  'with a key of its own': async () => {
    const mallory = await newSigningKey('one');
    return sign(mallory, goodClaims(), { jwk: mallory.jwk });
  },
  'by a stranger under a known kid': async () => sign(await newSigningKey('one'), goodClaims()),
  'by a stranger under an unknown kid': async () => sign(await newSigningKey('mallory'), goodClaims()),
  'that names no key where there are several': () => sign(key, goodClaims(), { kid: undefined }),
  'that names another key of the set': () => sign(key, goodClaims(), { kid: 'two' }),
  'by an algorithm that is not pinned': () => ps256(),
  'with a header that must be understood': () => sign(key, goodClaims(), { crit: ['exp2'], exp2: 1 }),
};
for (const [title, forge] of Object.entries(forgeries)) {
  test(`a token ${title} is no identity`, async (t) => {
    const [header = '', payload = '', signature = ''] = (await sign(key, goodClaims())).split('.');
    await refused(t, await open(t), `Bearer ${await forge(header, payload, signature)}`);
  });
}

/** By the very key that signs with RS256. */
function ps256(): string {
  const content = `${json({ alg: 'PS256', kid: 'rsa' })}.${json(goodClaims())}`;
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const signed = { key: KeyObject.from(rsa.keys.privateKey as webcrypto.CryptoKey), ...options };
  return `${content}.${signBytes('sha256', Buffer.from(content), signed).toString('base64url')}`;
}

test('the same token is good where its algorithm is pinned', async (t) => {
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

test('a public key is not taken for a shared secret', async (t) => {
  const pem = await exportSPKI(rsa.keys.publicKey);
  const secrets = [pem, pem.trim(), JSON.stringify(rsa.jwk), Buffer.from(rsa.jwk.n as string, 'base64url')];
  const ledger = await open(t);
  for (const secret of secrets) await refused(t, ledger, `Bearer ${hs256(secret)}`);
});

test('only one token in the right place is looked at', async (t) => {
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

test('of two Authorization headers the second never counts', async (t) => {
  const ledger = await open(t);
  const [ada, bob] = [await bearer(key), await bearer(key, { sub: 'bob' })];
  const send = (first: string, second: string) =>
    sendRawCall(t, ledger.server.address, ledger.definition.Append.path, [
      ['authorization', first],
      ['authorization', second],
      ['idempotency-key', 'key'],
    ]);
  await send('Bearer nonsense', bob.authorization);
  await ledger.outcomes.reached('refused');
  await send('', bob.authorization);
  await ledger.outcomes.reached('refused', 2);
  t.is(ledger.entered, 0);
  // Node hands only the first on, so nothing behind it can be mistaken for it.
  await send(ada.authorization, bob.authorization);
  await ledger.outcomes.reached('executed');
  t.like(await ledger.append('key', {}, { metadata: bob }), { code: status.OK, replayed: false });
  t.like(await ledger.append('key', {}, { metadata: ada }), { code: status.OK, replayed: true });
});

test('two entries, had they come, would be nobody', async (t) => {
  const metadata = new Metadata();
  const { authorization } = await bearer(key);
  metadata.add('authorization', authorization);
  t.truthy(await scopeFromJwt({ ...rules, jwks })({ metadata }));
  metadata.add('authorization', authorization);
  t.is(await scopeFromJwt({ ...rules, jwks })({ metadata }), undefined);
});

test('a token that is too large is not even looked at', async (t) => {
  const ledger = await open(t);
  const large = (length: number) => bearer(key, { filler: 'x'.repeat(length) });
  t.like(await ledger.append('a', {}, { metadata: await large(8_000) }), { code: status.OK });
  const reply = await ledger.append('b', {}, { metadata: await large(13_000) });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  t.is(ledger.entered, 1);
});

test('a key without a kid is found where it is the only one', async (t) => {
  const { kid: _, ...jwk } = key.jwk;
  const ledger = await open(t, { jwks: { keys: [jwk] } });
  const token = await sign(key, goodClaims(), { kid: undefined });
  const reply = await ledger.append('key', {}, { metadata: { authorization: `Bearer ${token}` } });
  t.is(reply.code, status.OK, reply.details);
});

test('the issuer, the claim and the name make the scope, and none passes for another', async (t) => {
  const names = ['ada', 'b', '["ada"]', 'a","sub","b', '\ud800', '\ud801', '\ufffd', 'a\u0000', 'jwt:'];
  const issuers = [ISSUER, `${ISSUER}","sub","a`];
  // As bytes, which is what keys are told apart by.
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

test('two issuers may know the same name: on one store they are two callers', async (t) => {
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
/** What is wrong, and what the error says. */
const wrong: [object, RegExp][] = [
  [{ issuer: undefined }, /issuer must be a text/],
  [{ issuer: '' }, /issuer must be a text/],
  [{ issuer: [ISSUER, 'https://mallory.example'] }, /issuer must be a text/],
  [{ audience: undefined }, /audience must be a text/],
  [{ audience: '' }, /audience must be a text/],
  [{ claim: '' }, /claim must be a text/],
  [{ algorithms: [] }, /algorithms must be one or more of RS256/],
  [{ algorithms: ['ES256', 'HS256'] }, /algorithms must be/],
  [{ algorithms: ['none'] }, /algorithms must be/],
  [{ clockToleranceMs: -1 }, /clockToleranceMs must be from 0 to 300000/],
  [{ clockToleranceMs: Number.NaN }, /clockToleranceMs must be/],
  [{ clockToleranceMs: 300_001 }, /clockToleranceMs must be/],
  [{ jwks: undefined }, /jwks is not a JSON Web Key Set/],
  [{ jwks: {} }, /jwks is not a JSON Web Key Set/],
  [{ jwks: { keys: [] } }, /jwks holds no public key/],
  [{ jwks: { keys: [secretKey] } }, /jwks holds no public key/],
  [{ jwks: { keys: [{ kty: 'RSA', n: '!' }] } }, /key number 1 is not a public key/],
  [{ jwks: { keys: [key.jwk, { ...other.jwk, d: 'AQAB' }] } }, /holds a private key, number 2/],
];
for (const [index, [options, message]] of wrong.entries()) {
  test(`refused at the start, ${index + 1}: ${message.source}`, (t) => {
    const all = { ...rules, jwks, ...options } as JwtScopeOptions;
    const error = t.throws(() => scopeFromJwt(all), { instanceOf: TypeError, message });
    t.false(error.message.includes('AQAB'));
  });
}

test('keys of other kinds in the set are left alone', async (t) => {
  const ledger = await open(t, { jwks: { keys: [secretKey, { kty: 'AKP', pub: 'x' }, key.jwk] } });
  t.is((await ledger.append('key', {}, { metadata: await bearer(key) })).code, status.OK);
  await refused(
    t,
    await open(t, { jwks: { keys: [secretKey, key.jwk] } }),
    `Bearer ${hs256('secret', 'one')}`,
  );
});
