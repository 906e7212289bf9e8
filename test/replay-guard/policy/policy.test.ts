import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import {
  createReplayGuard,
  type ReplayGuard,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { freshFolder } from '../../helpers/databases/engines.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../../helpers/servers/ledger.js';

const path = '/test.v1.LedgerService/Append';

function guard(t: ExecutionContext, options: Partial<ReplayGuardOptions> = {}) {
  const made = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => made.close());
  return made;
}

/** A service with one method `Do` and the given options in its .proto file. */
async function service(
  t: ExecutionContext,
  options: string,
  {
    request = 'Request',
    imports = 'import "replayguard/v1/policy.proto";',
    fields = '',
  }: { request?: string; imports?: string; fields?: string } = {},
): Promise<ServiceDefinition> {
  const folder = await freshFolder(t);
  const proto = `syntax = "proto3"; package p.v1; ${imports}
    message Empty {} message Request { ${fields} }
    service S { rpc Do(${request}) returns (Empty) { ${options} } }`;
  await mkdir(join(folder, 'p'), { recursive: true });
  await writeFile(join(folder, 'p/s.proto'), proto);
  const own = fileURLToPath(new URL('../../../../proto/', import.meta.url));
  const loaded = loadSync('p/s.proto', { includeDirs: [folder, own], longs: String, enums: String });
  return loaded['p.v1.S'] as ServiceDefinition;
}

/** The mode of the service's single method. */
function modeIn({ protect, methods }: ReplayGuard, definition: ServiceDefinition) {
  protect(definition);
  return methods()[0]?.mode;
}

const policy = (text: string) => `option (replayguard.v1.policy) = {${text}};`;

const wrongInCode: Record<string, readonly unknown[]> = {
  mode: ['ON', '', null, 1],
  key: ['MAYBE', true],
  retentionMs: [999, 0, -1, 1.5, Number.NaN, '1000', Number.POSITIVE_INFINITY],
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
      const error = t.throws(() => guard(t, { policies }), { instanceOf: TypeError }, String(value));
      t.true(error?.message.includes(path) && error.message.includes(field), error?.message);
    }
  });
}

test('the guard refuses an unknown policy field in code', (t) => {
  const unknown = { ttl: 1_000 } as object;
  const error = t.throws(() => guard(t, { policies: { [path]: unknown } }));
  t.true(error?.message.includes(path) && error.message.includes('ttl'));
});

test('protect refuses a retention shorter than the lease', (t) => {
  const { protect } = guard(t, { policies: { [path]: { retentionMs: 5_000, leaseMs: 5_001 } } });
  t.throws(() => protect(loadLedger()), { message: /Append.*retentionMs.*lease/ });
  const equal = guard(t, { policies: { [path]: { retentionMs: 5_000, leaseMs: 5_000 } } });
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

const wrongInProto: Record<string, readonly string[]> = {
  retentionMs: ['ttl: {seconds: 0}', 'ttl: 60', 'ttl: {seconds: "60"}', 'ttl: {seconds: 60.5}'],
  leaseMs: ['lease: {nanos: 5000000}', 'lease: {seconds: 30, minutes: 1}'],
  waitMs: [
    ...['wait: {seconds: -1}', 'wait: {nanos: -5000000}', 'wait: 5', 'wait: {second: 5}'],
    ...['wait: {seconds: 1, nanos: 1000000000}', 'wait: "5s"'],
  ],
  maxExecutionMs: ['max_execution: {seconds: 0}', 'max_execution: {seconds: 2147484}'],
  maxReplyBytes: ['max_reply_bytes: 0', 'max_reply_bytes: "10"', 'max_reply_bytes: 1.5'],
  replayedCodes: [
    ...['replayed_codes: REPLAYED_CODE_UNSPECIFIED', 'replayed_codes: NOT_FOUND', 'replayed_codes: 14'],
    'replayed_codes: [REPLAYED_CODE_NOT_FOUND, REPLAYED_CODE_UNAVAILABLE]',
  ],
  mode: ['mode: OFF', 'mode: MODE_ON', 'mode: 4', 'mode: "MODE_OFF "', 'mode: [MODE_OFF, MODE_ENFORCE]'],
  key: ['key: KEY_REQUIREMENT_UNKNOWN', 'key: true'],
  atomicity: ['atomicity: LEASE', 'atomicity: {}'],
  onStoreFailure: ['on_store_failure: EXECUTE'],
  rejectOldKeys: ['reject_old_keys: "true"', 'reject_old_keys: 1'],
  keyField: ['key_field: ""', 'key_field: "a..b"', 'key_field: 5', 'key_field: ["a", "b"]'],
  fingerprintExcludes: ['fingerprint_excludes: "a b"', 'fingerprint_excludes: ["a", ""]'],
  colour: ['colour: 3'],
  maxReplyByte: ['maxReplyByte: 3'],
};

for (const [field, texts] of Object.entries(wrongInProto)) {
  test(`protect refuses an invalid ${field} in a .proto file and names method and field`, async (t) => {
    for (const text of texts) {
      const definition = await service(t, policy(text));
      const error = t.throws(() => guard(t).protect(definition), { instanceOf: TypeError }, text);
      t.true(error?.message.includes('/p.v1.S/Do') && error.message.includes(field), error?.message);
    }
  });
}

test('protect refuses a misspelt policy option in a .proto file', async (t) => {
  for (const name of ['(policy)', '(v1.policy)', '(replayguard.v1.polcy)', '(.replayguard.policy)']) {
    const definition = await service(t, `option ${name} = {mode: MODE_OFF};`);
    const error = t.throws(() => guard(t).protect(definition), { instanceOf: TypeError }, name);
    t.true(error?.message.includes('/p.v1.S/Do') && error.message.includes(name), error?.message);
  }
  const text = await service(t, 'option (replayguard.v1.policy) = "OFF";');
  t.throws(() => guard(t).protect(text), {
    instanceOf: TypeError,
    message: /\/p\.v1\.S\/Do.*must be a message/,
  });
  const others = await service(t, 'option (acme.v1.policy) = {mode: MODE_OFF}; option (acme.level) = 5;');
  t.notThrows(() => guard(t).protect(others).Do);
});

/** Several spellings of one option. */
const spellings: Record<string, string> = {
  aggregate: policy('mode: MODE_OFF, ttl: {seconds: 60}'),
  'aggregate without colons and commas': policy('mode: MODE_OFF ttl {seconds: 60}'),
  'a leading dot': 'option (.replayguard.v1.policy) = {mode: MODE_OFF ttl {seconds: 60}};',
  'field by field':
    'option (replayguard.v1.policy).mode = MODE_OFF; option (replayguard.v1.policy).ttl.seconds = 60;',
  'an enum by its number': policy('mode: 1'),
};

for (const [title, options] of Object.entries(spellings)) {
  test(`the policy in a .proto file is read from ${title}, with and without the import`, async (t) => {
    for (const imports of ['import "replayguard/v1/policy.proto";', '']) {
      const definition = await service(t, options, { imports });
      t.is(modeIn(guard(t), definition), 'OFF');
    }
  });
}

test('an unspecified value in a .proto file is the default', async (t) => {
  const unspecified = 'mode: MODE_UNSPECIFIED, key: KEY_REQUIREMENT_UNSPECIFIED, atomicity: 0';
  const definition = await service(t, policy(unspecified));
  t.is(modeIn(guard(t, { mode: 'OFF' }), definition), 'OFF');
  t.is(modeIn(guard(t, { mode: 'ENFORCE' }), definition), 'ENFORCE');
});

test('a list field in a .proto file may have one entry or several', async (t) => {
  const one = 'replayed_codes: REPLAYED_CODE_NOT_FOUND fingerprint_excludes: "a"';
  const several =
    'replayed_codes: [REPLAYED_CODE_NOT_FOUND, REPLAYED_CODE_ABORTED] fingerprint_excludes: ["a"]';
  const repeated = `${one} replayed_codes: REPLAYED_CODE_ABORTED fingerprint_excludes: "b"`;
  for (const text of [one, several, repeated]) {
    const definition = await service(t, policy(text), { fields: 'string a = 1; string b = 2;' });
    t.notThrows(() => guard(t).protect(definition).Do, text);
  }
});

test('the guard refuses a policy with a malformed or unknown method path in code', (t) => {
  const policies = (method: string) => ({ policies: { [method]: { waitMs: 0 } } });
  for (const malformed of ['', 'Append', 'test.v1.LedgerService/Append', '/Append', `${path}/`, `${path} `]) {
    const error = t.throws(() => guard(t, policies(malformed)), { instanceOf: TypeError });
    t.true(error?.message.includes(malformed));
  }
  for (const typo of ['/test.v1.LedgerService/Apend', '/test.v1.LedgerService/append']) {
    const error = t.throws(() => guard(t, policies(typo)).protect(loadLedger()), { instanceOf: TypeError });
    t.true(error?.message.includes(typo), error?.message);
  }
  t.notThrows(() => guard(t, policies('/other.v1.Service/Do')).protect(loadLedger()));
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

test('protect refuses a policy for a method without side effects, unless its mode is OFF', async (t) => {
  const level = 'option idempotency_level = NO_SIDE_EFFECTS;';
  const message = /\/p\.v1\.S\/Do.*NO_SIDE_EFFECTS/;
  const declared = await service(t, `${level} ${policy('ttl: {seconds: 60}')}`);
  t.throws(() => guard(t).protect(declared), { instanceOf: TypeError, message });
  const plain = await service(t, level);
  for (const inCode of [{ retentionMs: 60_000 }, { mode: 'ENFORCE' as const }]) {
    const { protect } = guard(t, { policies: { '/p.v1.S/Do': inCode } });
    t.throws(() => protect(plain), { instanceOf: TypeError, message });
  }
  t.is(guard(t, { policies: { '/p.v1.S/Do': { mode: 'OFF' } } }).protect(plain).Do, plain.Do);
});

test('protect refuses a method with a stream of requests, unless it is OFF or has no side effects', async (t) => {
  const streaming = await service(t, '', { request: 'stream Request' });
  t.throws(() => guard(t).protect(streaming), { message: /\/p\.v1\.S\/Do.*stream/ });
  t.notThrows(() => guard(t, { mode: 'OFF' }).protect(streaming));
  const off = await service(t, policy('mode: MODE_OFF'), { request: 'stream Request' });
  t.is(guard(t).protect(off).Do, off.Do);
  const reading = await service(t, 'option idempotency_level = NO_SIDE_EFFECTS;', {
    request: 'stream Request',
  });
  t.is(guard(t).protect(reading).Do, reading.Do);
});

test('each policy field comes from code, the .proto file or the server, in this order', async (t) => {
  const inProto = 'ttl: {seconds: 60}, lease: {seconds: 50}';
  for (const option of [
    policy(inProto),
    'option (replayguard.v1.policy).ttl.seconds = 60; option (replayguard.v1.policy).lease.seconds = 50;',
  ]) {
    const definition = await service(t, option);
    const accepted = (options: Partial<ReplayGuardOptions>) => () => guard(t, options).protect(definition).Do;
    t.notThrows(accepted({}));
    t.notThrows(accepted({ retentionMs: 1_000 }), 'the .proto file wins over the server-wide retention');
    const lease = (leaseMs: number) => ({ policies: { '/p.v1.S/Do': { leaseMs } } });
    t.notThrows(accepted(lease(60_000)));
    t.throws(accepted(lease(60_001)), { message: /retentionMs.*60000.*lease.*60001/ });
  }
});
