import type { MethodDefinition } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { startServer } from '../../helpers/servers/server.js';

/** A method without a schema. The request with number n decodes to the n-th value. */
function methodOf(values: readonly object[]): MethodDefinition<number, Buffer> {
  return {
    path: '/generic.v1.Service/Do',
    ...{ requestStream: false, responseStream: false },
    requestSerialize: (index) => Buffer.from([index]),
    requestDeserialize: (bytes) => values[bytes.readUInt8()] as unknown as number,
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
}

/** Sends `one`, then `other` with the same key. Returns `replayed` or the reason of the refusal. */
async function secondResult(t: ExecutionContext, one: object, other: object) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant() });
  t.teardown(() => guard.close());
  const Do = methodOf([one, other]);
  const Handler = (_call: unknown, callback: (error: null, reply: Buffer) => void) =>
    callback(null, Buffer.from('r'));
  const { connect } = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect({ Do }), { Do: Handler }]],
  });
  const client = connect();
  await client.call(Do, 0, { key: 'key' });
  const reply = await client.call(Do, 1, { key: 'key' });
  return reply.replayed ? 'replayed' : reply.statusDetails?.errorInfo?.reason;
}

const encoded = (...bytes: number[]) => ({
  serializeBinary: () => Uint8Array.from(bytes),
  cache: Math.random(),
});

const equal: Record<string, readonly [object, object]> = {
  'keys in another order': [
    { a: 1, b: { c: 2, d: 3 } },
    { b: { d: 3, c: 2 }, a: 1 },
  ],
  'an absent and an undefined field': [{ a: 1 }, { a: 1, b: undefined }],
  'a Map in another order': [
    {
      m: new Map([
        ['a', 1],
        ['b', 2],
      ]),
    },
    {
      m: new Map([
        ['b', 2],
        ['a', 1],
      ]),
    },
  ],
  'a Buffer and a Uint8Array': [{ b: Buffer.from([1, 255]) }, { b: Uint8Array.from([1, 255]) }],
  'methods of a message': [{ a: 1 }, { a: 1, toObject: () => 'x' }],
  'equal dates': [{ at: new Date(5) }, { at: new Date(5) }],
  'messages that encode themselves to equal bytes': [encoded(1, 2), encoded(1, 2)],
};

const different: Record<string, readonly [object, object]> = {
  'a number': [{ a: 1 }, { a: 2 }],
  'a bigint': [{ a: 2n ** 60n }, { a: 2n ** 60n + 1n }],
  'minus zero': [{ a: 0 }, { a: -0 }],
  'a number and a text': [{ a: 1 }, { a: '1' }],
  'a flag and a text': [{ a: true }, { a: 'true' }],
  'bytes and their text': [{ a: Buffer.from('hi') }, { a: 'hi' }],
  'bytes and their canonical text': [{ a: Buffer.from('hi') }, { a: `<${btoa('hi')}>` }],
  bytes: [{ a: Uint8Array.from([1]) }, { a: Uint8Array.from([1, 0]) }],
  'a list’s order': [{ a: [1, 2] }, { a: [2, 1] }],
  'a list’s nesting': [{ a: [[1], 2] }, { a: [1, [2]] }],
  'a key': [{ a: { b: 1 } }, { a: { c: 1 } }],
  'a text with a quote in it': [{ a: '"', b: 'x' }, { a: '","b":"x' }],
  'a Map’s value': [{ m: new Map([['a', 1]]) }, { m: new Map([['a', 2]]) }],
  'a date': [{ at: new Date(5) }, { at: new Date(6) }],
  // google.protobuf.Struct in protobuf-es is the JSON itself.
  'null and absent': [{ a: null }, {}],
  'a property with the name of unknown fields': [{ a: { $unknown: [1] } }, { a: { $unknown: [2] } }],
  'a map key with the name of unknown fields': [
    { a: { _unknownFields: 'x', $unknown: 'x' } },
    { a: { _unknownFields: 'y', $unknown: 'x' } },
  ],
  'an empty list and no list': [{ a: [] }, {}],
  'an empty message and no message': [{ a: {} }, {}],
  'infinite numbers': [{ a: Number.POSITIVE_INFINITY }, { a: Number.NEGATIVE_INFINITY }],
  'NaN and its name': [{ a: Number.NaN }, { a: 'NaN' }],
  'messages that encode themselves to different bytes': [encoded(1, 2), encoded(1, 3)],
};

for (const [title, [one, other]] of Object.entries(equal))
  test(`without a schema, two requests are equal: ${title}`, async (t) => {
    t.is(await secondResult(t, one, other), 'replayed');
  });

for (const [title, [one, other]] of Object.entries(different))
  test(`without a schema, two requests differ: ${title}`, async (t) => {
    t.is(await secondResult(t, one, other), 'IDEMPOTENCY_KEY_REUSED');
  });

test('without a schema, a message that is nested too deeply is refused, and the server serves the next call', async (t) => {
  let deep: object = {};
  for (let depth = 0; depth < 100_000; depth++) deep = { a: deep };
  t.is(await secondResult(t, {}, deep), undefined);
  t.is(await secondResult(t, { a: 1 }, { a: 1 }), 'replayed');
});
