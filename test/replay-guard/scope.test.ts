import { status } from '@grpc/grpc-js';
import test from 'ava';
import { type ScopeSource, scopeFromMetadata } from 'grpc-replay-guard';
import { emptiedData } from '../helpers/emptied-data.js';
import { engines } from '../helpers/engines.js';
import { openLedger } from '../helpers/guarded-ledger.js';
import { assertRefused } from '../helpers/refused.js';

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

test.serial('a metadata scope that is sent twice is nobody', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-tenant-bin') } });
  const { Metadata } = await import('@grpc/grpc-js');
  const metadata = new Metadata();
  metadata.add('x-tenant-bin', Buffer.from('a'));
  metadata.add('x-tenant-bin', Buffer.from('b'));
  const reply = await ledger.append('key', {}, { metadata });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
});
