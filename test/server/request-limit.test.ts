import { once } from 'node:events';
import { type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { ServerCredentials, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { orderService } from '#src/rpc/definitions.js';
import { addReflection } from '#src/server/reflection.js';
import { type ChangedLimits, createServer, listen } from '#src/server/server.js';

type Test = ExecutionContext;

const ANY = { host: '127.0.0.1', port: 0 };
const ORDER = '/shop.order.v1.OrderService';
const REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

/** Serves the order service and reflection. PlaceOrder is guarded, GetOrder is not. */
async function serve(t: Test, limits: ChangedLimits) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant() });
  const server = createServer([guard.interceptor], limits);
  t.teardown(() => guard.close());
  t.teardown(() => server.forceShutdown());
  const entered: string[] = [];
  const handler = (call: { getPath(): string }, reply: (error: null, value: object) => void) => {
    entered.push(call.getPath());
    reply(null, {});
  };
  const handlers = new Proxy({}, { get: () => handler }) as UntypedServiceImplementation;
  server.addService(guard.protect(orderService), handlers);
  addReflection(server, ['shop.order.v1.OrderService']);
  return { port: await listen(server, ANY, ServerCredentials.createInsecure()), entered };
}

/** Opens a call over HTTP/2 and sends these bytes of its request. The request stays open. */
function openCall(t: Test, port: number, path: string, bytes?: Buffer): ClientHttp2Stream {
  const session = connect(`http://127.0.0.1:${port}`);
  t.teardown(() => session.destroy());
  session.on('error', () => {});
  const stream = session.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    'idempotency-key': 'key',
  });
  stream.on('error', () => {});
  if (bytes) stream.write(bytes);
  return stream;
}

/** An empty message, with its prefix of five bytes. */
const EMPTY = Buffer.alloc(5);
const requests: [string, Buffer][] = [
  ['no byte of its request', Buffer.alloc(0)],
  ['a part of its request', EMPTY.subarray(0, 3)],
  ['its request without the end', EMPTY],
];
for (const method of ['PlaceOrder', 'GetOrder']) {
  for (const [what, bytes] of requests) {
    test(`${method}: a call that sends ${what} ends with DEADLINE_EXCEEDED`, async (t) => {
      const { port, entered } = await serve(t, { requestMs: 100 });
      const stream = openCall(t, port, `${ORDER}/${method}`, bytes);
      const [headers] = await once(stream, 'response');
      t.is(headers['grpc-status'], String(status.DEADLINE_EXCEEDED));
      t.is(headers['grpc-message'], 'the%20request%20did%20not%20arrive%20in%20time');
      // A request that ends later does not start the handler.
      stream.end(EMPTY);
      stream.resume();
      await once(stream, 'close');
      t.deepEqual(entered, []);
    });
  }
}

test('the request limit does not end a stream of requests, nor a call with a complete request', async (t) => {
  const { port, entered } = await serve(t, { requestMs: 100 });
  const reflection = openCall(t, port, REFLECTION);
  const limited = openCall(t, port, `${ORDER}/GetOrder`);
  const whole = openCall(t, port, `${ORDER}/GetOrder`, EMPTY);
  whole.end();
  t.is((await once(whole, 'response'))[0]['grpc-status'], undefined);
  await once(limited, 'response');
  t.deepEqual(entered, [`${ORDER}/GetOrder`]);
  // The stream has outlived the call that was opened after it.
  reflection.end();
  const [headers] = await once(reflection, 'response');
  t.is(headers['grpc-status'] ?? String(status.OK), String(status.OK));
});

const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from('000000040000000000', 'hex'),
]);
for (const [what, bytes] of [
  ['sends nothing', Buffer.alloc(0)],
  ['sends a part of the preface', PREFACE.subarray(0, 10)],
  ['never answers a ping', PREFACE],
] as const) {
  test(`a connection that ${what} is closed by the keepalive`, async (t) => {
    const options = { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_timeout_ms': 100 };
    const { port } = await serve(t, { options });
    const socket = connectTcp(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => {}).write(bytes);
    socket.resume();
    await once(socket, 'close');
    t.pass();
  });
}

test('a connection without calls is closed after its idle time', async (t) => {
  const { port } = await serve(t, { options: { 'grpc.max_connection_idle_ms': 100 } });
  const session = connect(`http://127.0.0.1:${port}`);
  t.teardown(() => session.destroy());
  const closed = once(session, 'close');
  await once(session, 'goaway');
  await closed;
  t.pass();
});
