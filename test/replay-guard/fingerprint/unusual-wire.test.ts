import { type ServiceDefinition, type sendUnaryData, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { definitionOf, image, protoFolders } from '../../helpers/codegens/index.js';
import { field, nested } from '../../helpers/messages/append-wire.js';
import { bare } from '../../helpers/messages/descriptors.js';
import { startServer } from '../../helpers/servers/server.js';

const loaded = loadSync('test/shapes/v1/everything.proto', { includeDirs: protoFolders, defaults: true });
const byLoader = loaded['test.shapes.v1.EverythingService'] as ServiceDefinition;
const byEs = definitionOf('test.shapes.v1.EverythingService');

/** Definitions of one service, and the guard's options for each. */
const services: Record<string, readonly [ServiceDefinition, Partial<ReplayGuardOptions>]> = {
  'proto-loader': [byLoader, {}],
  'proto-loader without its schema': [bare(byLoader), {}],
  'proto-loader without its schema, descriptors': [bare(byLoader), { descriptors: image }],
  'protobuf-es': [byEs, {}],
  'protobuf-es, descriptors': [byEs, { descriptors: image }],
};

async function serve(t: ExecutionContext, service: ServiceDefinition, options: Partial<ReplayGuardOptions>) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  const requests: object[] = [];
  const Do = ({ request }: { request: object }, callback: sendUnaryData<object>) => {
    requests.push(request);
    callback(null, request);
  };
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect(service), { Do }]],
  });
  const client = server.connect();
  const call = (wire: Uint8Array, key: string) =>
    client.callBytes(service.Do as never, Buffer.from(wire), { key, deadlineMs: 30_000 });
  return { call, requests, guard };
}

const bytes = (...parts: (Uint8Array | number[])[]) =>
  Buffer.concat(parts.map((part) => Uint8Array.from(part)));

/** Pairs of a usual encoding and an ambiguous encoding of one message. */
const unusual: Record<string, readonly [Uint8Array, Uint8Array]> = {
  'a message in two parts': [
    nested(17, bytes(field(4, 'int64', 1), field(14, 'string', 'a'))),
    bytes(nested(17, field(4, 'int64', 1)), nested(17, field(14, 'string', 'a'))),
  ],
  'two members of a oneof': [field(37, 'int32', 5), bytes(field(38, 'string', 'a'), field(37, 'int32', 5))],
  'a map entry without its message': [
    nested(32, bytes(field(1, 'int32', 1), nested(2, Buffer.alloc(0)))),
    nested(32, field(1, 'int32', 1)),
  ],
  'a map entry without its key': [
    nested(34, bytes(field(1, 'int64', 0), field(2, 'bytes', Buffer.from('a')))),
    nested(34, field(2, 'bytes', Buffer.from('a'))),
  ],
  'a number in seven bytes': [field(3, 'int32', 5), bytes([24, 0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0])],
  'a field with a wrong wire type': [field(14, 'string', 'a'), bytes(field(14, 'string', 'a'), [0x70, 5])],
};

/** Whether the decoder of a method accepts bytes. If not, grpc-js refuses the call before the guard receives it. */
function canDecode({ Do }: ServiceDefinition, wire: Uint8Array): boolean {
  try {
    Do?.requestDeserialize(Buffer.from(wire));
    return true;
  } catch {
    return false;
  }
}

/** 10,000 nested messages, and 10,000 nested maps. */
const tooDeep = [
  (wire: Uint8Array) => nested(17, wire),
  (wire: Uint8Array) => nested(32, nested(2, wire)),
].map((wrap) => {
  let wire: Uint8Array = Buffer.alloc(0);
  for (let depth = 0; depth < 10_000; depth++) wire = wrap(wire);
  return wire;
});

for (const [name, [service, options]] of Object.entries(services)) {
  const knowsSchema = !name.endsWith('without its schema') && name !== 'protobuf-es';

  if (knowsSchema)
    test(`${name}: a handler gets the message that was fingerprinted`, async (t) => {
      const { call, requests } = await serve(t, service, options);
      for (const [title, [usual, other]] of Object.entries(unusual)) {
        requests.length = 0;
        if (!canDecode(service, other)) {
          const refused = await call(other, title.replaceAll(' ', '-'));
          t.like(refused, { code: status.INTERNAL, details: 'Error deserializing request' }, title);
          continue;
        }
        for (const [at, wire] of [usual, other].entries())
          t.is((await call(wire, `${title.replaceAll(' ', '-')}-${at}`)).code, status.OK, title);
        t.is(requests.length, 2);
        t.deepEqual(requests[0], requests[1], title);
        const again = await call(other, `${title.replaceAll(' ', '-')}-0`);
        t.like(again, { code: status.OK, replayed: true }, title);
      }
    });

  test(`${name}: a request nested 10,000 levels deep is refused, and the server serves the next call`, async (t) => {
    const { call, requests } = await serve(t, service, options);
    for (const wire of tooDeep) t.not((await call(wire, 'deep')).code, status.OK);
    t.is(requests.length, 0);
    t.is((await call(field(14, 'string', 'a'), 'deep')).code, status.OK, 'the key is free');
  });

  // protobufjs accepts some malformed bytes.
  if (name === 'proto-loader without its schema') continue;

  test(`${name}: a malformed request is refused, and the server serves the next call`, async (t) => {
    const { call, requests } = await serve(t, service, options);
    for (const wire of [bytes([8]), bytes([0x72, 5, 1]), bytes([12]), bytes([0x0f])])
      t.not((await call(wire, 'malformed')).code, status.OK);
    t.is(requests.length, 0);
    t.is((await call(field(14, 'string', 'a'), 'malformed')).code, status.OK);
  });
}

test('a malformed request is refused in mode ENFORCE and passes in modes OFF and OBSERVE', async (t) => {
  // A decoder that accepts all bytes.
  const raw = { ...(byLoader.Do as object), requestDeserialize: (wire: Buffer) => ({ length: wire.length }) };
  const service = {
    Do: { ...raw, responseSerialize: () => Buffer.alloc(0) },
  } as unknown as ServiceDefinition;
  const { call, requests, guard } = await serve(t, service, {});
  t.is((await call(bytes([8]), 'key')).code, status.INTERNAL);
  t.deepEqual(requests, []);
  for (const mode of ['OFF', 'OBSERVE'] as const) {
    guard.setModes({ server: mode });
    t.is((await call(bytes([8]), 'key')).code, status.OK, mode);
  }
  t.deepEqual(requests, [{ length: 1 }, { length: 1 }]);
});
