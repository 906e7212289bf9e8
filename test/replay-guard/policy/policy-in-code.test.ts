import { status } from '@grpc/grpc-js';
import test from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { openGuard } from './fixtures.js';

const path = '/test.v1.LedgerService/Append';

const wrongInCode: Record<string, readonly unknown[]> = {
  mode: ['ON', '', null, 1],
  key: ['MAYBE', true],
  retentionMs: [999, 0, -1, 1.5, Number.NaN, '1000', Number.POSITIVE_INFINITY, 3_155_760_000_001],
  atomicity: ['BOTH', undefined],
  leaseMs: [999, 2 ** 31, 1_000.5, '30s'],
  waitMs: [-1, 2 ** 31, Number.NaN],
  replayedCodes: [
    [status.OK],
    [status.UNAVAILABLE],
    [status.CANCELLED],
    [status.DEADLINE_EXCEEDED],
    [99],
    ['NOT_FOUND'],
    5,
  ],
  maxReplyBytes: [0, -1, 1.5, '10'],
  keyField: ['', 'a..b', '.a', 'a.', 'a b', 5, null],
  rejectOldKeys: ['true', 1, null],
  fingerprintExcludes: ['a', [''], ['a', 5], ['a.'], null],
  onStoreFailure: ['PANIC', true],
  maxExecutionMs: [999, 2 ** 31, '5m'],
};

for (const [field, values] of Object.entries(wrongInCode)) {
  test(`the guard refuses an invalid ${field} in code and names method and field`, (t) => {
    for (const value of values) {
      const policies = { [path]: { [field]: value } };
      const error = t.throws(() => openGuard(t, { policies }), { instanceOf: TypeError }, String(value));
      t.true(error?.message.includes(path) && error.message.includes(field), error?.message);
    }
  });
}

test('the guard refuses an unknown policy field in code', (t) => {
  const unknown = { ttl: 1_000 } as object;
  const error = t.throws(() => openGuard(t, { policies: { [path]: unknown } }));
  t.true(error?.message.includes(path) && error.message.includes('ttl'));
  t.regex(error?.message ?? '', /; its fields are mode, key, .*retentionMs/);
});

test('protect refuses a retention shorter than the lease', (t) => {
  const { protect } = openGuard(t, { policies: { [path]: { retentionMs: 5_000, leaseMs: 5_001 } } });
  t.throws(() => protect(loadLedger()), { message: /Append.*retentionMs.*lease/ });
  const equal = openGuard(t, { policies: { [path]: { retentionMs: 5_000, leaseMs: 5_000 } } });
  t.notThrows(() => equal.protect(loadLedger()).Append);
});

test('createReplayGuard refuses options without a store or a scope', (t) => {
  const options = { store: new MemoryStore(), scope: singleTenant() };
  for (const missing of ['store', 'scope']) {
    const rest = Object.fromEntries(Object.entries(options).filter(([name]) => name !== missing));
    t.throws(() => createReplayGuard(rest as unknown as ReplayGuardOptions), {
      instanceOf: TypeError,
      message: new RegExp(missing),
    });
  }
});

test('the guard refuses a policy with a malformed or unknown method path in code', (t) => {
  const policies = (method: string) => ({ policies: { [method]: { waitMs: 0 } } });
  for (const malformed of ['', 'Append', 'test.v1.LedgerService/Append', '/Append', `${path}/`, `${path} `]) {
    const error = t.throws(() => openGuard(t, policies(malformed)), { instanceOf: TypeError });
    t.true(error?.message.includes(malformed));
  }
  for (const typo of ['/test.v1.LedgerService/Apend', '/test.v1.LedgerService/append']) {
    const error = t.throws(() => openGuard(t, policies(typo)).protect(loadLedger()), {
      instanceOf: TypeError,
    });
    t.true(error?.message.includes(typo), error?.message);
    t.regex(error?.message ?? '', /; its methods are Append, /);
  }
  t.notThrows(() => openGuard(t, policies('/other.v1.Service/Do')).protect(loadLedger()));
});

test.serial('the first call causes one warning about the policy of an unprotected service', async (t) => {
  const warnings: string[] = [];
  const listen = (warning: Error & { code?: string }) => {
    if (warning.code === 'REPLAY_GUARD_UNUSED_POLICY') warnings.push(warning.message);
  };
  process.on('warning', listen);
  t.teardown(() => process.off('warning', listen));
  const policies = { '/test.v1.LedgrService/Append': { waitMs: 0 }, [path]: { waitMs: 0 } };
  const ledger = await openLedger(t, 'memory', { guard: { policies } });
  for (const key of ['a', 'b']) t.like(await ledger.append(key), { code: status.OK });
  t.is(warnings.length, 1);
  t.true(warnings[0]?.includes('/test.v1.LedgrService/Append'));
});
