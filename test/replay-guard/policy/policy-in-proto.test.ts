import type { ServiceDefinition } from '@grpc/grpc-js';
import test from 'ava';
import type { ReplayGuard, ReplayGuardOptions } from 'grpc-replay-guard';
import { openGuard, policyOption, serviceWith } from './fixtures.js';

/** The mode of the service's single method. */
function modeIn({ protect, methods }: ReplayGuard, definition: ServiceDefinition) {
  protect(definition);
  return methods()[0]?.mode;
}

const wrongInProto: Record<string, readonly string[]> = {
  retentionMs: [
    'ttl: {seconds: 0}',
    'ttl: 60',
    'ttl: {seconds: "60"}',
    'ttl: {seconds: 60.5}',
    'ttl: {seconds: 3155760001}',
  ],
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
  mode: [
    'mode: OFF',
    'mode: MODE_ON',
    'mode: constructor',
    'mode: 4',
    'mode: "MODE_OFF "',
    'mode: [MODE_OFF, MODE_ENFORCE]',
  ],
  key: ['key: KEY_REQUIREMENT_UNKNOWN', 'key: true'],
  atomicity: ['atomicity: LEASE', 'atomicity: {}'],
  onStoreFailure: ['on_store_failure: EXECUTE'],
  rejectOldKeys: ['reject_old_keys: "true"', 'reject_old_keys: 1'],
  keyField: ['key_field: ""', 'key_field: "a..b"', 'key_field: 5', 'key_field: ["a", "b"]'],
  fingerprintExcludes: ['fingerprint_excludes: "a b"', 'fingerprint_excludes: ["a", ""]'],
  colour: ['colour: 3'],
  maxReplyByte: ['maxReplyByte: 3'],
  constructor: ['constructor: 3'],
};

for (const [field, texts] of Object.entries(wrongInProto)) {
  test(`protect refuses an invalid ${field} in a .proto file and names method and field`, async (t) => {
    for (const text of texts) {
      const definition = await serviceWith(t, policyOption(text));
      const error = t.throws(() => openGuard(t).protect(definition), { instanceOf: TypeError }, text);
      t.true(error?.message.includes('/p.v1.S/Do') && error.message.includes(field), error?.message);
    }
  });
}

test('protect refuses a misspelt policy option in a .proto file', async (t) => {
  for (const name of ['(policy)', '(v1.policy)', '(replayguard.v1.polcy)', '(.replayguard.policy)']) {
    const definition = await serviceWith(t, `option ${name} = {mode: MODE_OFF};`);
    const error = t.throws(() => openGuard(t).protect(definition), { instanceOf: TypeError }, name);
    t.true(error?.message.includes('/p.v1.S/Do') && error.message.includes(name), error?.message);
  }
  const text = await serviceWith(t, 'option (replayguard.v1.policy) = "OFF";');
  t.throws(() => openGuard(t).protect(text), {
    instanceOf: TypeError,
    message: /\/p\.v1\.S\/Do.*must be a message/,
  });
  const others = await serviceWith(t, 'option (acme.v1.policy) = {mode: MODE_OFF}; option (acme.level) = 5;');
  t.notThrows(() => openGuard(t).protect(others).Do);
});

/** Several spellings of one option. */
const spellings: Record<string, string> = {
  aggregate: policyOption('mode: MODE_OFF, ttl: {seconds: 60}'),
  'aggregate without colons and commas': policyOption('mode: MODE_OFF ttl {seconds: 60}'),
  'a leading dot': 'option (.replayguard.v1.policy) = {mode: MODE_OFF ttl {seconds: 60}};',
  'field by field':
    'option (replayguard.v1.policy).mode = MODE_OFF; option (replayguard.v1.policy).ttl.seconds = 60;',
  'an enum by its number': policyOption('mode: 1'),
};

for (const [title, options] of Object.entries(spellings)) {
  test(`the policy in a .proto file is read from ${title}, with and without the import`, async (t) => {
    for (const imports of ['import "replayguard/v1/policy.proto";', '']) {
      const definition = await serviceWith(t, options, { imports });
      t.is(modeIn(openGuard(t), definition), 'OFF');
    }
  });
}

test('an unspecified value in a .proto file is the default', async (t) => {
  const unspecified = 'mode: MODE_UNSPECIFIED, key: KEY_REQUIREMENT_UNSPECIFIED, atomicity: 0';
  const definition = await serviceWith(t, policyOption(unspecified));
  t.is(modeIn(openGuard(t, { mode: 'OFF' }), definition), 'OFF');
  t.is(modeIn(openGuard(t, { mode: 'ENFORCE' }), definition), 'ENFORCE');
});

test('a list field in a .proto file may have one entry or several', async (t) => {
  const one = 'replayed_codes: REPLAYED_CODE_NOT_FOUND fingerprint_excludes: "a"';
  const several =
    'replayed_codes: [REPLAYED_CODE_NOT_FOUND, REPLAYED_CODE_ABORTED] fingerprint_excludes: ["a"]';
  const repeated = `${one} replayed_codes: REPLAYED_CODE_ABORTED fingerprint_excludes: "b"`;
  for (const text of [one, several, repeated]) {
    const definition = await serviceWith(t, policyOption(text), { fields: 'string a = 1; string b = 2;' });
    t.notThrows(() => openGuard(t).protect(definition).Do, text);
  }
});

test('protect refuses a policy for a method without side effects, unless its mode is OFF', async (t) => {
  const level = 'option idempotency_level = NO_SIDE_EFFECTS;';
  const message = /\/p\.v1\.S\/Do.*NO_SIDE_EFFECTS/;
  const declared = await serviceWith(t, `${level} ${policyOption('ttl: {seconds: 60}')}`);
  t.throws(() => openGuard(t).protect(declared), { instanceOf: TypeError, message });
  const plain = await serviceWith(t, level);
  for (const inCode of [{ retentionMs: 60_000 }, { mode: 'ENFORCE' as const }]) {
    const { protect } = openGuard(t, { policies: { '/p.v1.S/Do': inCode } });
    t.throws(() => protect(plain), { instanceOf: TypeError, message });
  }
  t.is(openGuard(t, { policies: { '/p.v1.S/Do': { mode: 'OFF' } } }).protect(plain).Do, plain.Do);
});

test('protect refuses a method with a stream of requests, unless it is OFF or has no side effects', async (t) => {
  const streaming = await serviceWith(t, '', { request: 'stream Request' });
  t.throws(() => openGuard(t).protect(streaming), { message: /\/p\.v1\.S\/Do.*stream/ });
  t.notThrows(() => openGuard(t, { mode: 'OFF' }).protect(streaming));
  const off = await serviceWith(t, policyOption('mode: MODE_OFF'), { request: 'stream Request' });
  t.is(openGuard(t).protect(off).Do, off.Do);
  const reading = await serviceWith(t, 'option idempotency_level = NO_SIDE_EFFECTS;', {
    request: 'stream Request',
  });
  t.is(openGuard(t).protect(reading).Do, reading.Do);
});

test('each policy field comes from code, the .proto file or the server, in this order', async (t) => {
  const inProto = 'ttl: {seconds: 60}, lease: {seconds: 50}';
  for (const option of [
    policyOption(inProto),
    'option (replayguard.v1.policy).ttl.seconds = 60; option (replayguard.v1.policy).lease.seconds = 50;',
  ]) {
    const definition = await serviceWith(t, option);
    const accepted = (options: Partial<ReplayGuardOptions>) => () =>
      openGuard(t, options).protect(definition).Do;
    t.notThrows(accepted({}));
    t.notThrows(accepted({ retentionMs: 1_000 }), 'the .proto file wins over the server-wide retention');
    const lease = (leaseMs: number) => ({ policies: { '/p.v1.S/Do': { leaseMs } } });
    t.notThrows(accepted(lease(60_000)));
    t.throws(accepted(lease(60_001)), { message: /retentionMs.*60000.*lease.*60001/ });
  }
});
