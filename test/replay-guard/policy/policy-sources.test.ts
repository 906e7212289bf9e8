import { readFile } from 'node:fs/promises';
import { type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test from 'ava';
import protobuf from 'protobufjs';
import { type PolicyEnum, policyFields } from '#library/replay-guard/policy/proto-message.js';
import { codegens, image, protoFolders } from '../../helpers/codegens/index.js';
import { bare, protoFile } from '../../helpers/messages/descriptors.js';
import { startServer } from '../../helpers/servers/server.js';
import { assertErrorNames, DO, openGuard, policyOf, policyOption, proto, protoOf } from './fixtures.js';

const everyField = `
  mode: MODE_OBSERVE, key: KEY_REQUIREMENT_OPTIONAL, ttl: {seconds: 7200, nanos: 500000000}
  atomicity: ATOMICITY_LEASE, lease: {seconds: 60}, wait: {nanos: 250000000}, max_reply_bytes: 1000
  replayed_codes: [REPLAYED_CODE_NOT_FOUND, REPLAYED_CODE_ABORTED], key_field: "id", reject_old_keys: true
  on_store_failure: ON_STORE_FAILURE_EXECUTE, fingerprint_excludes: ["parts.id", "parts"]
  max_execution: {seconds: 90}`;
const everyFieldRead = {
  ...{
    mode: 'OBSERVE',
    key: 'OPTIONAL',
    retentionMs: 7_200_500,
    atomicity: 'LEASE',
    leaseMs: 60_000,
    waitMs: 250,
  },
  ...{ maxReplyBytes: 1_000, replayedCodes: [status.NOT_FOUND, status.ABORTED], keyField: 'id' },
  ...{ rejectOldKeys: true, onStoreFailure: 'EXECUTE', fingerprintExcludes: ['parts.id', 'parts'] },
  maxExecutionMs: 90_000,
};

test('every policy field is read from proto-loader, from a buf image and from a descriptor set', async (t) => {
  const file = await protoFile(t, proto(policyOption(everyField)));
  t.like(policyOf(t, file.loaded, {}), everyFieldRead);
  for (const flags of [[], ['--as-file-descriptor-set'], ['--exclude-source-info']]) {
    const descriptors = await file.build(...flags);
    t.like(policyOf(t, file.bare, { descriptors }), everyFieldRead, flags.join());
  }
  t.is(policyOf(t, file.bare, {})?.keyField, undefined, 'a bare definition has no policy');
});

test('an option that is set field by field is read from the descriptors', async (t) => {
  const parts = ['mode = MODE_OBSERVE', 'ttl.seconds = 7200', 'ttl.nanos = 500000000', 'key_field = "id"'];
  const options = parts.map((part) => `option (replayguard.v1.policy).${part};`).join(' ');
  const file = await protoFile(t, proto(options));
  const read = policyOf(t, file.bare, { descriptors: await file.build() });
  t.like(read, { mode: 'OBSERVE', retentionMs: 7_200_500, keyField: 'id' });
});

test('a policy that the descriptors contain in several parts is merged', (t) => {
  const option = (...parts: number[][]) => parts.flatMap((part) => [0xca, 0xee, 0x18, part.length, ...part]);
  const nested = (number: number, ...content: number[]) => [(number << 3) | 2, content.length, ...content];
  const text = (number: number, value: string) => nested(number, ...Buffer.from(value));
  // The option has the field number 50921. Its parts contain ttl.seconds and ttl.nanos.
  const seconds = nested(2, 8, 100);
  const nanos = nested(2, 16, 128, 202, 181, 238, 1);
  const method = [...text(1, 'Do'), ...text(2, '.p.v1.M'), ...nested(4, ...option(seconds, nanos))];
  const service = nested(6, ...text(1, 'S'), ...nested(2, ...method));
  const file = [...text(1, 'a.proto'), ...text(2, 'p.v1'), ...nested(4, ...text(1, 'M')), ...service];
  const same = (bytes: Buffer) => bytes;
  const bare = {
    ...{ path: DO, requestStream: false, responseStream: false, requestSerialize: same },
    ...{ requestDeserialize: same, responseSerialize: same, responseDeserialize: same },
  };
  const descriptors = Buffer.from(nested(1, ...file));
  t.is(policyOf(t, { Do: bare }, { descriptors })?.retentionMs, 100_500);
});

test('the policy message of the guard is equal to policy.proto', async (t) => {
  const written = await readFile(`${protoFolders[0]}replayguard/v1/policy.proto`, 'utf8');
  const { root } = protobuf.parse(written, { keepCase: true });
  const { fields } = root.lookupType('replayguard.v1.MethodPolicy');
  const theirs = Object.values(fields).map(({ name, id, type, repeated }) => [name, id, type, repeated]);
  const nameOf = (type: PolicyEnum | string) => (typeof type === 'string' ? type : type.name);
  const protoName = (type: string) => (type === 'Duration' ? 'google.protobuf.Duration' : type);
  const ours = [...policyFields].map(([name, { number, type, isList }]) => [
    ...[name, number, protoName(nameOf(type)), isList],
  ]);
  t.deepEqual(ours, theirs);
  const enums = [...policyFields.values()].flatMap(({ type }) => (typeof type === 'object' ? [type] : []));
  t.is(enums.length, 5);
  for (const { name, prefix, values } of enums) {
    const named = [...values].map(([value, number]) => [prefix + value, number]);
    t.deepEqual(Object.fromEntries(named), root.lookupEnum(`replayguard.v1.${name}`).values, name);
  }
  t.is((root.lookup('replayguard.v1') as protobuf.Namespace).nestedArray.length, enums.length + 2);
});

test('each policy field comes from code, the definition, the descriptors or the server, in this order', async (t) => {
  const image = await protoFile(
    t,
    proto(policyOption('ttl: {seconds: 100}, wait: {seconds: 1}, max_reply_bytes: 10')),
  );
  const descriptors = await image.build();
  const own = await protoFile(t, proto(policyOption('ttl: {seconds: 200}, wait: {seconds: 2}')));
  const options = { descriptors, retentionMs: 50_000, policies: { [DO]: { retentionMs: 300_000 } } };
  t.like(policyOf(t, own.loaded, options), { retentionMs: 300_000, waitMs: 2_000, maxReplyBytes: 10 });
  t.like(policyOf(t, own.loaded, { descriptors, retentionMs: 50_000 }), { retentionMs: 200_000 });
  t.like(policyOf(t, own.bare, { descriptors, retentionMs: 50_000 }), {
    retentionMs: 100_000,
    waitMs: 1_000,
  });
  t.like(policyOf(t, own.bare, { retentionMs: 50_000 }), { retentionMs: 50_000, waitMs: 5_000 });
});

test('the idempotency level is read from the definition, otherwise from the descriptors', async (t) => {
  const level = (name: string) => `option idempotency_level = ${name};`;
  const idempotent = await protoFile(t, proto(level('IDEMPOTENT')));
  const reading = await protoFile(t, proto(level('NO_SIDE_EFFECTS')));
  const plain = await protoFile(t, proto(''));
  const [optional, none] = [await idempotent.build(), await reading.build()];
  t.is(policyOf(t, plain.bare, { descriptors: optional })?.key, 'OPTIONAL');
  t.is(policyOf(t, plain.loaded, { descriptors: optional })?.key, 'OPTIONAL');
  t.is(policyOf(t, idempotent.loaded, {})?.key, 'OPTIONAL');
  t.is(policyOf(t, plain.bare, { descriptors: none }), undefined, 'never guarded');
  t.is(policyOf(t, idempotent.loaded, { descriptors: none })?.key, 'OPTIONAL');
  t.is(policyOf(t, reading.loaded, { descriptors: optional }), undefined);
  const both = await protoFile(
    t,
    proto(`${level('IDEMPOTENT')} ${policyOption('key: KEY_REQUIREMENT_REQUIRED')}`),
  );
  t.is(policyOf(t, both.loaded, {})?.key, 'REQUIRED');
  t.is(policyOf(t, both.bare, { descriptors: await both.build() })?.key, 'REQUIRED');
});

test('a method that is not in the descriptors has the policy of its definition', async (t) => {
  const file = await protoFile(t, proto(policyOption('ttl: {seconds: 100}')));
  t.is(policyOf(t, file.loaded, { descriptors: image })?.retentionMs, 100_000);
  t.is(policyOf(t, file.bare, { descriptors: image })?.retentionMs, 86_400_000);
});

const wrong: Record<string, string> = {
  retentionMs: 'ttl: {nanos: 5}',
  leaseMs: 'lease: {seconds: -30}',
  waitMs: 'wait: {seconds: -1}',
  maxReplyBytes: 'max_reply_bytes: -5',
  replayedCodes: 'replayed_codes: REPLAYED_CODE_UNSPECIFIED',
  keyField: 'key_field: "a..b"',
  fingerprintExcludes: 'fingerprint_excludes: ""',
};

test('protect refuses an invalid policy field in the descriptors and names method and field', async (t) => {
  const methods = Object.entries(wrong).map(([field, text]) => [`Do_${field}`, policyOption(text)]);
  const file = await protoFile(t, protoOf(Object.fromEntries(methods)));
  const descriptors = await file.build();
  for (const field of Object.keys(wrong)) assertErrorNames(t, file.bare, descriptors, `Do_${field}`, field);
});

test('an unspecified value in the descriptors is the default', async (t) => {
  const text =
    'mode: MODE_UNSPECIFIED, key: KEY_REQUIREMENT_UNSPECIFIED, reject_old_keys: false, key_field: ""';
  const file = await protoFile(t, proto(policyOption(text)));
  const read = policyOf(t, file.bare, { descriptors: await file.build() });
  t.like(read, { key: 'REQUIRED', rejectOldKeys: false, mode: undefined, keyField: undefined });
});

test('protect refuses fields and values of a newer policy.proto in the descriptors', async (t) => {
  const newer = [
    ['string key_field = 9;', 'string key_field = 9; string colour = 77;'],
    ['MODE_OFF = 1;', 'MODE_OFF = 1; MODE_NEW = 9;'],
    ['REPLAYED_CODE_UNKNOWN = 2;', 'REPLAYED_CODE_UNKNOWN = 2; REPLAYED_CODE_NEW = 99;'],
  ] as const;
  const methods = {
    Field: policyOption('colour: "red"'),
    Mode: policyOption('mode: MODE_NEW'),
    Code: policyOption('replayed_codes: REPLAYED_CODE_NEW'),
  };
  const file = await protoFile(t, protoOf(methods), newer);
  const descriptors = await file.build();
  assertErrorNames(t, file.bare, descriptors, 'Field', 'unknown field number 77');
  assertErrorNames(t, file.bare, descriptors, 'Mode', 'mode');
  assertErrorNames(t, file.bare, descriptors, 'Code', 'replayedCodes');
});

test('the guard refuses bytes that are not descriptors', async (t) => {
  const message = /^the descriptors must be a FileDescriptorSet or a buf image/;
  for (const descriptors of [Buffer.alloc(0), Buffer.from('syntax = "proto3";'), image.subarray(0, 5_000)])
    t.throws(() => openGuard(t, { descriptors }), { instanceOf: TypeError, message });
});

test('protect refuses incomplete descriptors and names the method and the missing type', async (t) => {
  const file = await protoFile(
    t,
    proto('', 'google.protobuf.Timestamp at = 3;').replace(
      'message Part',
      'import "google/protobuf/timestamp.proto"; message Part',
    ),
  );
  const descriptors = await file.build('--exclude-imports');
  const message = /\/p\.v1\.S\/Do.*google\.protobuf\.Timestamp/;
  t.throws(() => openGuard(t, { descriptors }).protect(file.bare), { instanceOf: TypeError, message });
  t.notThrows(() => openGuard(t, { descriptors }).protect(file.loaded));
});

test('descriptors give a policy to the bare definitions of every code generator', (t) => {
  for (const codegen of codegens.filter(({ isBare }) => isBare)) {
    const send = '/test.codegen.v1.ParcelService/Send';
    const descriptors = image;
    t.is(policyOf(t, codegen.service, { descriptors }, send)?.keyField, 'meta.request_id', codegen.name);
    t.is(policyOf(t, codegen.service, {}, send)?.keyField, undefined, codegen.name);
    const guard = openGuard(t, { descriptors });
    const find = codegen.methods.Find as unknown;
    t.true(
      Object.values(guard.protect(codegen.service)).includes(find as never),
      `${codegen.name}: Find is unchanged`,
    );
  }
});

test('the descriptors of the shop give its bare definitions their policies', async (t) => {
  const descriptors = await readFile(new URL('../../../descriptors.binpb', import.meta.url));
  const loaded = loadSync('shop/order/v1/order_service.proto', { includeDirs: protoFolders });
  const service = bare(loaded['shop.order.v1.OrderService'] as ServiceDefinition);
  const placeOrder = policyOf(t, service, { descriptors }, '/shop.order.v1.OrderService/PlaceOrder');
  t.is(placeOrder?.atomicity, 'LEASE');
  t.is(policyOf(t, service, { descriptors }, '/shop.order.v1.OrderService/GetOrder'), undefined);
});

test('the policy in the descriptors decides whether a call without a key is refused or runs', async (t) => {
  const file = await protoFile(t, proto(policyOption('key: KEY_REQUIREMENT_OPTIONAL')));
  for (const [descriptors, code] of [
    [await file.build(), status.OK],
    [image, status.INVALID_ARGUMENT],
  ] as const) {
    const guard = openGuard(t, { descriptors });
    const Do = (_call: unknown, callback: (error: null, reply: object) => void) => callback(null, {});
    const server = await startServer(t, {
      interceptors: [guard.interceptor],
      services: [[guard.protect(file.bare), { Do }]],
    });
    t.is((await server.connect().call(file.bare.Do as never, {})).code, code);
  }
});
