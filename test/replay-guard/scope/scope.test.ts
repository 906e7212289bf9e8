import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { type ScopeSource, ScopeUnavailableError, scopeFromMetadata } from 'grpc-replay-guard';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);
const as = (tenant: string | string[]) => ({ metadata: { 'x-tenant': tenant } });

for (const engine of [...engines, 'memory'] as const) {
  test.serial(`${engine}: one key under several scopes and methods names several operations`, async (t) => {
    const source = engine === 'memory' ? engine : await emptied(t, engine);
    const ledger = await openLedger(t, source, { guard: { scope: scopeFromMetadata('x-tenant') } });
    const calls = ['a', 'b', 'c'].flatMap((tenant) =>
      (['append', 'transfer'] as const).map(
        (method) => () => ledger.ask(method, 'key', `${method} ${tenant}`, as(tenant)),
      ),
    );
    const first = await Promise.all(calls.map((call) => call()));
    const second = await Promise.all(calls.map((call) => call()));
    t.true(first.every(({ code, replayed }) => code === status.OK && !replayed));
    t.true(second.every(({ code, replayed }) => code === status.OK && replayed));
    t.deepEqual(
      second.map(({ bytes }) => bytes?.toString('hex')),
      first.map(({ bytes }) => bytes?.toString('hex')),
    );
    t.is(new Set(first.map(({ bytes }) => bytes?.toString('hex'))).size, 6);
    t.is(ledger.entered, 6);
  });
}

test.serial('scope and key with the same concatenation are different operations', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant') } });
  t.like(await ledger.append('bc', {}, as('a')), { replayed: false });
  t.like(await ledger.append('c', {}, as('ab')), { replayed: false });
  t.is(ledger.entered, 2);
});

const withoutScope: Record<string, ScopeSource> = {
  'is undefined': () => undefined,
  'is empty': () => '',
  // Every unpaired surrogate has the same bytes in UTF-8, so such scopes would share their keys.
  'has an unpaired surrogate': () => 'caller \ud800',
  'is not a text': () => 42 as unknown as string,
  'resolves to undefined': async () => undefined,
  throws: () => {
    throw new Error('secret');
  },
  rejects: () => Promise.reject(new Error('secret')),
};

for (const [title, scope] of Object.entries(withoutScope)) {
  test.serial(`a call whose scope ${title} is refused as UNAUTHENTICATED`, async (t) => {
    const ledger = await openLedger(t, 'memory', { guard: { scope } });
    const reply = await ledger.append('key');
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
    t.notRegex(reply.details, /secret/);
    t.is(ledger.entered, 0);
    t.is(await ledger.store.estimateRecords(), 0);
  });
}

test.serial('a call whose scope source throws ScopeUnavailableError is refused as UNAVAILABLE', async (t) => {
  const scope = async () => {
    throw new ScopeUnavailableError('secret');
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  const reply = await ledger.append('key');
  assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_SCOPE_UNAVAILABLE', 'RetryInfo');
  t.notRegex(reply.details, /secret/);
  t.is(ledger.entered, 0);
  t.is(await ledger.store.estimateRecords(), 0);
});

const ambiguous: Record<string, string | string[]> = {
  'is not sent': [],
  'is empty': '',
  'is sent twice': ['ada', 'bob'],
  'is sent twice with one value': ['ada', 'ada'],
  'has a comma': 'ada, bob',
  'is sent twice, first empty': ['', 'ada'],
};
for (const [title, tenant] of Object.entries(ambiguous)) {
  test.serial(`a call whose metadata scope ${title} is refused`, async (t) => {
    const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant') } });
    const reply = await ledger.append('key', {}, as(tenant));
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
    t.is(ledger.entered, 0);
  });
}

const bytes = (...values: (string | Buffer)[]) => {
  const metadata = new Metadata();
  for (const value of values) metadata.add('x-tenant-bin', Buffer.from(value));
  return { metadata };
};

test.serial('a call whose binary metadata scope is empty or sent twice is refused', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant-bin') } });
  for (const settings of [bytes('a', 'b'), bytes('a', 'a'), bytes('')]) {
    const reply = await ledger.append('key', {}, settings);
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
});

test.serial('binary scopes that are invalid UTF-8 are different scopes', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant-bin') } });
  for (const tenant of [[0xff], [0xfe], [0xff, 0xff], [0], [0, 0]]) {
    const settings = bytes(Buffer.from(tenant));
    t.like(await ledger.append('key', {}, settings), { code: status.OK, replayed: false });
    t.like(await ledger.append('key', {}, settings), { code: status.OK, replayed: true });
  }
});

const mistaken: Record<string, readonly [source: ScopeSource, warning: RegExp]> = {
  fails: [({ metadata }) => (metadata as never as { tenant: string[] }).tenant[0], /source failed/],
  'returns a number': [() => 42 as unknown as string, /returned a value of type number, not a text/],
};

for (const [title, [scope, warning]] of Object.entries(mistaken)) {
  test.serial(`a scope source that ${title} causes one process warning`, async (t) => {
    const warnings: (Error & { code?: string })[] = [];
    const listen = (emitted: Error) => warnings.push(emitted);
    process.on('warning', listen);
    t.teardown(() => process.off('warning', listen));
    const ledger = await openLedger(t, 'memory', { guard: { scope } });
    for (const key of ['a', 'b']) t.is((await ledger.append(key)).code, status.UNAUTHENTICATED);
    const found = warnings.filter(({ code }) => code === 'REPLAY_GUARD_SCOPE_FAILED');
    t.is(found.length, 1);
    t.regex(found[0]?.message ?? '', warning);
  });
}

test('a ScopeUnavailableError has a stable code', (t) => {
  t.is(new ScopeUnavailableError('the keys are unavailable').code, 'REPLAY_GUARD_SCOPE_UNAVAILABLE');
});

test.serial('a scope that no caller can have is not erased', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: () => 'caller \ufffd' } });
  await ledger.append('key');
  for (const scope of ['caller \ud800', 'caller \udfff', '', 42 as unknown as string])
    await t.throwsAsync(ledger.guard.eraseScope(scope), { instanceOf: TypeError });
  t.like(await ledger.append('key'), { code: status.OK, replayed: true });
  t.like(await ledger.guard.eraseScope('caller \ufffd'), { erased: 1 });
});
