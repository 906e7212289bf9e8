import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  credentials,
  type Server,
  ServerCredentials,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { service as healthService } from 'grpc-health-check';
import { ConfigError } from '#src/config/config.js';
import { Closers } from '#src/platform/closers.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { addHealth } from '#src/server/health.js';
import { createInternalCalls } from '#src/server/internal-calls.js';
import { listenPublicly } from '#src/server/listeners.js';
import { addReflection } from '#src/server/reflection.js';
import { createServer, drain, listen } from '#src/server/server.js';
import { Connection } from '../helpers/calls/call.js';
import { Barrier } from '../helpers/waiting/barrier.js';

type Test = ExecutionContext;

const INVENTORY = 'shop.inventory.v1.InventoryService';
const ORDER = 'shop.order.v1.OrderService';
const MIB = 1024 * 1024;

async function serve(t: Test, prepare: (server: Server) => void): Promise<number> {
  const server = createServer([]);
  prepare(server);
  t.teardown(() => server.forceShutdown());
  return listen(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
}

function client(t: Test, port: number, options = {}): Connection {
  const connection = new Connection(`127.0.0.1:${port}`, credentials.createInsecure(), options);
  t.teardown(() => connection.close());
  return connection;
}

/** Makes handlers for every method. Each handler replies with the result of `reply` for its request. */
function echo(reply: (request: never) => object): UntypedServiceImplementation {
  const handler = (call: { request: unknown }, callback: (error: null, value: object) => void) =>
    callback(null, reply(call.request as never));
  return new Proxy({}, { get: () => handler }) as UntypedServiceImplementation;
}

/** The .proto files of the reflection services. */
const reflectionProtos = new URL('../../../node_modules/@grpc/reflection/build/proto/', import.meta.url);

const buf = fileURLToPath(new URL('../../../node_modules/.bin/buf', import.meta.url));

async function bufCurl(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(buf, [
    'curl',
    '--protocol',
    'grpc',
    '--http2-prior-knowledge',
    ...args,
  ]);
  return stdout;
}

test('health reports SERVING for the server and each hosted service, and NOT_FOUND for other services', async (t) => {
  const connection = client(t, await serve(t, (server) => addHealth(server, [INVENTORY])));
  const check = (service: string) => connection.call(healthService.Check as never, { service } as never);
  for (const service of ['', INVENTORY]) {
    t.deepEqual((await check(service)).message, { status: 'SERVING' });
  }
  t.is((await check(ORDER)).code, status.NOT_FOUND);
});

test('health sends NOT_SERVING to watchers at a stop and ends their streams', async (t) => {
  const server = createServer([]);
  const health = addHealth(server, [INVENTORY]);
  t.teardown(() => server.forceShutdown());
  const port = await listen(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = healthService.Watch as NonNullable<
    (typeof healthService)['Watch']
  >;
  const watch = client(t, port).client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    { service: INVENTORY },
    {},
  );
  t.deepEqual(await once(watch, 'data'), [{ status: 'SERVING' }]);
  const stopped = once(watch, 'data');
  const ended = once(watch, 'end');
  health.stop();
  t.deepEqual(await stopped, [{ status: 'NOT_SERVING' }]);
  await ended;
  await drain(server, { host: '127.0.0.1', port }, 60_000);
});

test('reflection lists only the hosted services and health', async (t) => {
  const port = await serve(t, (server) => addReflection(server, [INVENTORY]));
  const methods = await bufCurl('--list-methods', `http://127.0.0.1:${port}`);
  const hosted = Object.keys(inventoryService).map((method) => `${INVENTORY}/${method}`);
  const health = ['Check', 'Watch'].map((method) => `grpc.health.v1.Health/${method}`);
  t.deepEqual(methods.trim().split('\n').sort(), [...hosted, ...health].sort());
});

test('reflection serves the policy of each method, the details of refusals and health, in both versions', async (t) => {
  const port = await serve(t, (server) => {
    addReflection(server, [ORDER]);
    addHealth(server, [ORDER]);
  });
  const health = await bufCurl('-d', '{}', `http://127.0.0.1:${port}/grpc.health.v1.Health/Check`);
  t.deepEqual(JSON.parse(health), { status: 'SERVING' });
  const file = async (version: string, symbol: string) => {
    const request = JSON.stringify({ fileContainingSymbol: symbol });
    const method = `grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const schema = fileURLToPath(new URL(`grpc/reflection/${version}/reflection.proto`, reflectionProtos));
    const url = `http://127.0.0.1:${port}/${method}`;
    const { fileDescriptorResponse } = JSON.parse(await bufCurl('--schema', schema, '-d', request, url));
    const [first = ''] = fileDescriptorResponse.fileDescriptorProto as string[];
    return fromBinary(FileDescriptorProtoSchema, Buffer.from(first, 'base64'));
  };
  for (const version of ['v1', 'v1alpha']) {
    const [service] = (await file(version, ORDER)).service;
    const place = service?.method.find(({ name }) => name === 'PlaceOrder');
    // The bytes of the policy: ATOMICITY_LEASE. Protobuf-es keeps an option that it does not know.
    t.deepEqual(
      place?.options?.$unknown?.map(({ no }) => no),
      [50_921],
    );
    t.deepEqual([...(place?.options?.$unknown?.[0]?.data ?? [])], [2, 24, 2]);
    const details = await file(version, 'google.rpc.ErrorInfo');
    t.deepEqual(
      details.messageType.map(({ name }) => name),
      ['ErrorInfo', 'RetryInfo', 'BadRequest'],
    );
  }
});

test('a client can call methods with maps, durations and timestamps by reflection', async (t) => {
  const port = await serve(t, (server) => {
    addReflection(server, [INVENTORY, ORDER]);
    const reservation = { reservationId: 'r', expireTime: { seconds: '1700000000', nanos: 5_000_000 } };
    server.addService(
      inventoryService,
      echo(({ hold }: { hold: { seconds: string } }) => ({
        reservation: { ...reservation, lines: [{ sku: `held for ${hold.seconds}` }] },
      })),
    );
    server.addService(
      orderService,
      echo(({ labels }: { labels: object }) => ({ order: { labels } })),
    );
  });
  const call = async (method: string, request: object) =>
    JSON.parse(await bufCurl('-d', JSON.stringify(request), `http://127.0.0.1:${port}/${method}`));
  const { reservation } = await call(`${INVENTORY}/ReserveStock`, { hold: '90s' });
  t.is(reservation.expireTime, '2023-11-14T22:13:20.005Z');
  t.is(reservation.lines[0].sku, 'held for 90');
  const labels = { channel: 'web', campaign: 'spring' };
  t.deepEqual(await call(`${ORDER}/PlaceOrder`, { labels }), { order: { labels } });
});

test('a request of more than 4 MiB is refused with RESOURCE_EXHAUSTED before the handler', async (t) => {
  let entered = 0;
  const port = await serve(t, (server) => {
    server.addService(
      orderService,
      echo(() => {
        entered++;
        return {};
      }),
    );
  });
  const connection = client(t, port, { 'grpc.max_send_message_length': -1 });
  const cancel = (bytes: number) =>
    connection.call(orderService.CancelOrder, { reason: 'x'.repeat(bytes) }, { deadlineMs: 20_000 });
  t.is((await cancel(4 * MIB + 1)).code, status.RESOURCE_EXHAUSTED);
  t.is(entered, 0);
  t.is((await cancel(4 * MIB - 16)).code, status.OK);
});

test('a reply of more than 4 MiB fails with RESOURCE_EXHAUSTED', async (t) => {
  const port = await serve(t, (server) => {
    server.addService(
      orderService,
      echo(() => ({ order: { orderId: 'x'.repeat(4 * MIB) } })),
    );
  });
  const connection = client(t, port, { 'grpc.max_receive_message_length': -1 });
  t.is((await connection.call(orderService.GetOrder, {})).code, status.RESOURCE_EXHAUSTED);
});

test('a connection has at most 1000 concurrent streams', async (t) => {
  const session = connect(`http://127.0.0.1:${await serve(t, (server) => addHealth(server, []))}`);
  t.teardown(() => session.destroy());
  const [settings] = await once(session, 'remoteSettings');
  t.is(settings.maxConcurrentStreams, 1_000);
});

test('a bind failure of the public listener is a ConfigError that names GRPC_ADDRESS', async (t) => {
  const port = await serve(t, (server) => addHealth(server, []));
  const closers = new Closers();
  const options = {
    tls: undefined,
    interceptors: [],
    internalCalls: createInternalCalls(),
    graceMs: 0,
    closers,
  };
  const listening = listenPublicly([], { host: '127.0.0.1', port }, options);
  const { message } = await t.throwsAsync(listening, { instanceOf: ConfigError });
  t.regex(message, /^GRPC_ADDRESS: .*EADDRINUSE/);
});

test('draining refuses new calls and waits for a running call within the grace time', async (t) => {
  const barrier = new Barrier();
  const server = createServer([]);
  t.teardown(() => server.forceShutdown());
  const handlers = {
    GetOrder: (_call: unknown, callback: (error: null, value: object) => void) =>
      void barrier.pass().then(() => callback(null, { order: { orderId: 'late' } })),
  };
  server.addService(orderService, handlers as UntypedServiceImplementation);
  const port = await listen(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
  const [first, second] = [client(t, port), client(t, port)];

  const answer = first.call(orderService.GetOrder, {});
  await barrier.reached();
  const drained = drain(server, { host: '127.0.0.1', port }, 60_000);
  t.is((await second.call(orderService.GetOrder, {})).code, status.UNAVAILABLE);
  barrier.open();
  t.is((await answer).message?.order?.orderId, 'late');
  await drained;
});

test('draining ends a call that is still running after the grace time', async (t) => {
  const barrier = new Barrier();
  const server = createServer([]);
  t.teardown(() => barrier.open());
  const handlers = { GetOrder: () => void barrier.pass() };
  server.addService(orderService, handlers as UntypedServiceImplementation);
  const port = await listen(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
  const answer = client(t, port).call(orderService.GetOrder, {});
  await barrier.reached();
  await drain(server, { host: '127.0.0.1', port }, 0);
  t.not((await answer).code, status.OK);
});
