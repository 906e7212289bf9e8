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
  test.serial(`${engine}: one key under several scopes and methods is several operations`, async (t) => {
    const source = engine === 'memory' ? engine : await emptied(t, engine);
    const ledger = await openLedger(t, source, { guard: { scope: scopeFromMetadata('x-tenant') } });
    const asks = ['a', 'b', 'c'].flatMap((tenant) =>
      (['append', 'transfer'] as const).map(
        (method) => () => ledger.ask(method, 'key', `${method} ${tenant}`, as(tenant)),
      ),
    );
    const first = await Promise.all(asks.map((ask) => ask()));
    const second = await Promise.all(asks.map((ask) => ask()));
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

test.serial('the parts of an identity cannot be shifted into each other', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant') } });
  t.like(await ledger.append('bc', {}, as('a')), { replayed: false });
  t.like(await ledger.append('c', {}, as('ab')), { replayed: false });
  t.is(ledger.entered, 2);
});

const nobody: Record<string, ScopeSource> = {
  'is not there': () => undefined,
  'is empty': () => '',
  'comes as an empty promise': async () => undefined,
  'cannot be read': () => {
    throw new Error('secret');
  },
  'cannot be verified': () => Promise.reject(new Error('secret')),
};

for (const [title, scope] of Object.entries(nobody)) {
  test.serial(`a call whose identity ${title} is refused`, async (t) => {
    const ledger = await openLedger(t, 'memory', { guard: { scope } });
    const reply = await ledger.append('key');
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
    t.notRegex(reply.details, /secret/);
    t.is(ledger.entered, 0);
    t.is(await ledger.store.estimateRecords(), 0);
  });
}

test.serial('a call for which nobody can say yet who is calling is to be retried', async (t) => {
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

const unclear: Record<string, string | string[]> = {
  'is not sent': [],
  'is empty': '',
  'is sent twice': ['ada', 'bob'],
  'is sent twice, once by the proxy and the same by the client': ['ada', 'ada'],
  'has a comma, as two that were joined on the way': 'ada, bob',
  'is empty and then not': ['', 'ada'],
};
for (const [title, tenant] of Object.entries(unclear)) {
  test.serial(`a metadata scope that ${title} is nobody`, async (t) => {
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

test.serial('a metadata scope of bytes that is sent twice is nobody', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant-bin') } });
  for (const settings of [bytes('a', 'b'), bytes('a', 'a'), bytes('')]) {
    const reply = await ledger.append('key', {}, settings);
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
});

test.serial('bytes that are no text are told apart all the same', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant-bin') } });
  for (const tenant of [[0xff], [0xfe], [0xff, 0xff], [0], [0, 0]]) {
    const settings = bytes(Buffer.from(tenant));
    t.like(await ledger.append('key', {}, settings), { code: status.OK, replayed: false });
    t.like(await ledger.append('key', {}, settings), { code: status.OK, replayed: true });
  }
});
