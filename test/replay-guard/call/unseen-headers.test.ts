import { once } from 'node:events';
import { connect as connectHttp2, createServer } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import {
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import { callByHttp2, connectHttp2 as open } from '../../helpers/calls/http2-call.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../../helpers/servers/ledger.js';

const malformed = { 'idempotency-key': 'a\tb' };

const warnings: { code?: string; message: string }[] = [];
process.on('warning', (warning) => warnings.push(warning));

/** Shows the public methods of a call only, as a grpc-js with other internals would. */
const hideInternals: ServerInterceptor = (_method, call) =>
  new ServerInterceptingCall({
    start: (listener) => call.start(listener),
    sendMetadata: (metadata) => call.sendMetadata(metadata),
    sendMessage: (message, done) => call.sendMessage(message, done),
    sendStatus: (end) => call.sendStatus(end),
    startRead: () => call.startRead(),
    getPeer: () => call.getPeer(),
    getDeadline: () => call.getDeadline(),
    getHost: () => call.getHost(),
    getAuthContext: () => call.getAuthContext(),
    getConnectionInfo: () => call.getConnectionInfo(),
    getMetricsRecorder: () => call.getMetricsRecorder(),
  });

test.serial(
  'a call whose stream grpc-js does not show counts a dropped key as missing, and one warning says so',
  async (t) => {
    const ledger = await openLedger(t, 'memory', { before: [hideInternals] });
    const session = open(t, `http://${ledger.server.address}`);
    const path = ledger.definition.Append.path;
    for (let i = 0; i < 2; i++)
      t.like(await callByHttp2(session, path, malformed), { reason: 'IDEMPOTENCY_KEY_MISSING' });
    t.is((await callByHttp2(session, path, { 'idempotency-key': 'k' })).code, status.OK);
    t.is(ledger.entered, 1);
    const [warning, ...others] = warnings.filter(({ code }) => code === 'REPLAY_GUARD_NO_RAW_HEADERS');
    t.regex(String(warning?.message), /grpc-js does not show its stream/);
    t.deepEqual(others, []);
  },
);

test.serial('on an injected connection, a malformed key is refused from the second call on', async (t) => {
  const guard = createReplayGuard({ store: createMemoryStore(), scope: singleTenant() });
  t.teardown(async () => void (await guard.close()));
  const server = new Server({ interceptors: [guard.interceptor] });
  t.teardown(() => server.forceShutdown());
  const { Append } = loadLedger();
  server.addService(guard.protect({ Append }), {
    Append: (_call: unknown, done: (e: null, r: object) => void) => done(null, {}),
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const tcp = createTcpServer((socket) => injector.injectConnection(socket)).listen(0, '127.0.0.1');
  t.teardown(() => void tcp.close());
  await once(tcp, 'listening');
  const session = open(t, `http://127.0.0.1:${(tcp.address() as AddressInfo).port}`);
  t.like(await callByHttp2(session, Append.path, malformed), { reason: 'IDEMPOTENCY_KEY_MISSING' });
  t.like(await callByHttp2(session, Append.path, malformed), { reason: 'IDEMPOTENCY_KEY_INVALID' });
});

test.serial('other HTTP/2 servers of the process answer as before', async (t) => {
  await openLedger(t, 'memory');
  const server = createServer((_request, response) => void response.end('ok')).listen(0, '127.0.0.1');
  t.teardown(() => void server.close());
  await once(server, 'listening');
  const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(() => session.destroy());
  const stream = session.request({ ...malformed, ':path': '/' });
  const [headers] = await once(stream, 'response');
  t.is(headers[':status'], 200);
});
