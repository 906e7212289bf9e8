import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { freshFolder } from '../helpers/engines.js';
import { openLedger } from '../helpers/guarded-ledger.js';
import { loadLedger } from '../helpers/ledger.js';

const path = '/test.v1.LedgerService/Append';

function guard(t: ExecutionContext, options: Partial<ReplayGuardOptions> = {}) {
  const made = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => made.close());
  return made;
}

/** A service with one method `Do`, whose options are these lines of .proto. */
async function service(t: ExecutionContext, options: string, response = 'Empty'): Promise<ServiceDefinition> {
  const folder = await freshFolder(t);
  const proto = `syntax = "proto3"; package p.v1; import "replayguard/v1/policy.proto";
    message Empty {}
    service S { rpc Do(Empty) returns (${response}) { ${options} } }`;
  await mkdir(join(folder, 'p'), { recursive: true });
  await writeFile(join(folder, 'p/s.proto'), proto);
  const own = fileURLToPath(new URL('../../../proto/', import.meta.url));
  const loaded = loadSync('p/s.proto', { includeDirs: [folder, own], longs: String, enums: String });
  return loaded['p.v1.S'] as ServiceDefinition;
}

const policy = (text: string) => `option (replayguard.v1.policy) = {${text}};`;

const wrongInCode: Record<string, readonly unknown[]> = {
  mode: ['ON', '', null, 1],
  key: ['MAYBE', true],
  ttlMs: [999, 0, -1, 1.5, Number.NaN, '1000', Number.POSITIVE_INFINITY],
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
};

for (const [field, values] of Object.entries(wrongInCode)) {
  test(`in code: a wrong ${field} stops the start and names method and field`, (t) => {
    for (const value of values) {
      const { protect } = guard(t, { policies: { [path]: { [field]: value } } });
      const error = t.throws(() => protect(loadLedger()), { instanceOf: TypeError }, String(value));
      t.true(error?.message.includes(path) && error.message.includes(field), error?.message);
    }
  });
}

test('in code: an unknown field stops the start', (t) => {
  const unknown = { ttl: 1_000 } as object;
  const error = t.throws(() => guard(t, { policies: { [path]: unknown } }).protect(loadLedger()));
  t.true(error?.message.includes(path) && error.message.includes('ttl'));
});

test('a retention shorter than the lease stops the start', (t) => {
  const { protect } = guard(t, { policies: { [path]: { ttlMs: 5_000, leaseMs: 5_001 } } });
  t.throws(() => protect(loadLedger()), { message: /Append.*ttl.*lease/ });
  const equal = guard(t, { policies: { [path]: { ttlMs: 5_000, leaseMs: 5_000 } } });
  t.notThrows(() => equal.protect(loadLedger()).Append);
});

test('a guard needs a store and a scope', (t) => {
  const options = { store: new MemoryStore(), scope: singleTenant() };
  for (const missing of ['store', 'scope']) {
    const rest = Object.fromEntries(Object.entries(options).filter(([name]) => name !== missing));
    t.throws(() => createReplayGuard(rest as unknown as ReplayGuardOptions), {
      instanceOf: TypeError,
      message: new RegExp(missing),
    });
  }
});

const wrongInProto: Record<string, string> = {
  ttlMs: policy('ttl: {seconds: 0}'),
  leaseMs: policy('lease: {nanos: 5000000}'),
  waitMs: policy('wait: {seconds: -1}'),
  maxReplyBytes: policy('max_reply_bytes: 0'),
  replayedCodes: policy('replayed_codes: REPLAYED_CODE_UNSPECIFIED'),
  mode: policy('mode: MODE_UNSPECIFIED'),
  key: policy('key: KEY_REQUIREMENT_UNKNOWN'),
  colour: policy('colour: 3'),
};

for (const [field, options] of Object.entries(wrongInProto)) {
  test(`in .proto: a wrong ${field} stops the start and names method and field`, async (t) => {
    const definition = await service(t, options);
    const error = t.throws(() => guard(t).protect(definition), { instanceOf: TypeError });
    t.true(error?.message.includes('/p.v1.S/Do') && error.message.includes(field), error?.message);
  });
}

test('a streaming method cannot be guarded, only left out', async (t) => {
  const streaming = await service(t, '', 'stream Empty');
  t.throws(() => guard(t).protect(streaming), { message: /\/p\.v1\.S\/Do.*stream/ });
  const off = await service(t, policy('mode: MODE_OFF'), 'stream Empty');
  t.is(guard(t).protect(off).Do, off.Do);
  const reading = await service(t, 'option idempotency_level = NO_SIDE_EFFECTS;', 'stream Empty');
  t.is(guard(t).protect(reading).Do, reading.Do);
});

test('code wins over .proto, .proto over the server, for each field alone', async (t) => {
  const inProto = 'ttl: {seconds: 60}, lease: {seconds: 50}';
  for (const option of [
    policy(inProto),
    'option (replayguard.v1.policy).ttl.seconds = 60; option (replayguard.v1.policy).lease.seconds = 50;',
  ]) {
    const definition = await service(t, option);
    const accepted = (options: Partial<ReplayGuardOptions>) => () => guard(t, options).protect(definition).Do;
    t.notThrows(accepted({}));
    t.notThrows(accepted({ ttlMs: 1_000 }), 'the server-wide retention gives way');
    const lease = (leaseMs: number) => ({ policies: { '/p.v1.S/Do': { leaseMs } } });
    t.notThrows(accepted(lease(60_000)));
    t.throws(accepted(lease(60_001)), { message: /ttl.*60000.*lease.*60001/ });
  }
});

test('the policy of one method is nobody else’s, and OFF leaves a method untouched', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    guard: { mode: 'OFF', policies: { [path]: { mode: 'ENFORCE' } } },
  });
  for (const replayed of [false, true]) t.like(await ledger.append('key'), { code: status.OK, replayed });
  for (const _ of [1, 2]) t.like(await ledger.transfer('key'), { code: status.OK, replayed: false });
  t.is(ledger.entered, 3);
  t.like(await ledger.transfer(), { code: status.OK });
});
