import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type JwtScopeOptions, type RemoteKeys, scopeFromJwt } from 'grpc-replay-guard/jwt';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import {
  AUDIENCE,
  bearer,
  goodClaims,
  ISSUER,
  type KeyServer,
  keySet,
  newSigningKey,
  serveKeys,
  sign,
} from '../../helpers/identities/tokens.js';
import { type Ledger, openLedger } from '../../helpers/servers/guarded-ledger.js';

type Test = ExecutionContext;

const [key, next] = await Promise.all([newSigningKey('one'), newSigningKey('two')]);
const rules = { issuer: ISSUER, audience: AUDIENCE };
const HOUR_MS = 3_600_000;

/** Opens a ledger that fetches the issuer's keys from a test server. */
async function open(
  t: Test,
  answer: KeyServer['answer'],
  options: Omit<RemoteKeys, 'jwksUri'> = {},
): Promise<{ ledger: Ledger; keys: KeyServer }> {
  const keys = await serveKeys(t, answer);
  const scope = scopeFromJwt({ ...rules, jwksUri: keys.url, ...options });
  return { keys, ledger: await openLedger(t, 'memory', { guard: { scope } }) };
}

const append = async (ledger: Ledger, by = key, idempotencyKey = 'key') =>
  ledger.append(idempotencyKey, {}, { metadata: await bearer(by) });

test('many concurrent calls fetch the keys once', async (t) => {
  const { ledger, keys } = await open(t, keySet(key));
  const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => append(ledger, key, `k-${i}`)));
  t.true(replies.every(({ code }) => code === status.OK));
  t.like(await append(ledger, key, 'k-0'), { replayed: true });
  t.is(keys.requests, 1);
});

const outages: Record<string, KeyServer['answer']> = {
  'cannot be reached': 'down',
  'does not answer': 'silence',
  'answers with an error': { status: 500, body: '' },
  redirects: { status: 302, body: '', location: '/other' },
  'answers with HTML': { status: 200, body: '<html>' },
  'answers with no key set': { status: 200, body: '{"keys":"none"}' },
};
for (const [title, answer] of Object.entries(outages)) {
  test(`when the key server ${title}, calls are refused as UNAVAILABLE, and a later retry succeeds`, async (t) => {
    const { ledger, keys } = await open(t, answer, { timeoutMs: 2_000 });
    const reply = await append(ledger);
    assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_SCOPE_UNAVAILABLE', 'RetryInfo');
    t.is(ledger.entered, 0);
    t.is(await ledger.store.estimateRecords(), 0);
    t.deepEqual(ledger.outcomes.ended, ['refused']);
    keys.answer = keySet(key);
    t.like(await append(ledger), { code: status.OK, replayed: false });
  });
}

test('a call without a token is refused as UNAUTHENTICATED during an outage of the key server', async (t) => {
  const { ledger, keys } = await open(t, 'down');
  assertRefused(t, await ledger.append('key'), status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  t.is(keys.requests, 0);
});

test('an unknown kid causes a fetch, and a token by the new key is the same caller', async (t) => {
  const { ledger, keys } = await open(t, keySet(key), { cooldownMs: 0 });
  t.like(await append(ledger), { code: status.OK, replayed: false });
  keys.answer = keySet(key, next);
  t.like(await append(ledger, next), { code: status.OK, replayed: true });
  t.is(keys.requests, 2);
  t.like(await append(ledger), { code: status.OK, replayed: true });
  t.is(keys.requests, 2);
});

test('unknown kids cause no second fetch within the cooldown', async (t) => {
  const { ledger, keys } = await open(t, keySet(key), { cooldownMs: HOUR_MS });
  for (const kid of ['x', 'y', 'z']) {
    const reply = await append(ledger, await newSigningKey(kid));
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
  t.is(keys.requests, 1);
});

test('during an outage, cached keys verify tokens, and a token with an unknown kid is refused as UNAVAILABLE', async (t) => {
  const { ledger, keys } = await open(t, keySet(key), { cooldownMs: 0 });
  await append(ledger);
  keys.answer = 'down';
  t.like(await append(ledger), { code: status.OK, replayed: true });
  const reply = await append(ledger, next);
  assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_SCOPE_UNAVAILABLE', 'RetryInfo');
});

test('a withdrawn key is rejected after the cache time', async (t) => {
  const { ledger, keys } = await open(t, keySet(key), { cacheMs: 0, cooldownMs: 0 });
  t.like(await append(ledger), { code: status.OK });
  keys.answer = keySet(next);
  assertRefused(t, await append(ledger), status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  t.is(ledger.entered, 1);
});

test('the key URLs in a token are never fetched', async (t) => {
  const mallory = await newSigningKey('one');
  const theirs = await serveKeys(t, keySet(mallory));
  const { ledger } = await open(t, keySet(key), { cooldownMs: 0 });
  const token = await sign(mallory, goodClaims(), { jku: theirs.url, x5u: theirs.url });
  const reply = await ledger.append('key', {}, { metadata: { authorization: `Bearer ${token}` } });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  t.is(theirs.requests, 0);
});

const addresses: [string, RegExp | undefined][] = [
  ['https://issuer.example/jwks', undefined],
  ['http://localhost:1/jwks', undefined],
  ['http://127.8.8.8:1/jwks', undefined],
  ['http://[::1]:1/jwks', undefined],
  ['http://issuer.example/jwks', /must be https:/],
  ['http://localhost.mallory.example/jwks', /must be https:/],
  ['http://127.0.0.1.mallory.example/jwks', /must be https:/],
  ['ftp://localhost/jwks', /must be https:/],
  ['file:///etc/jwks.json', /must be https:/],
  ['https://user:secret@issuer.example/jwks', /must not hold a user or a password/],
  ['issuer.example', /not a URL/],
];
for (const [jwksUri, message] of addresses) {
  test(`the key address ${jwksUri.replace('secret', '...')} is ${message ? 'refused' : 'accepted'}`, (t) => {
    const make = () => scopeFromJwt({ ...rules, jwksUri });
    if (!message) return t.notThrows(make);
    return t.false(t.throws(make, { instanceOf: TypeError, message }).message.includes('secret'));
  });
}

for (const name of ['timeoutMs', 'cacheMs', 'cooldownMs']) {
  test(`${name} must be a whole number of milliseconds`, (t) => {
    for (const value of [-1, 0.5, Number.NaN, '5']) {
      const options = { ...rules, jwksUri: 'https://issuer.example', [name]: value } as JwtScopeOptions;
      t.throws(() => scopeFromJwt(options), {
        instanceOf: TypeError,
        message: new RegExp(`^${name} must be`),
      });
    }
  });
}
