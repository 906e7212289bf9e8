import { randomUUID } from 'node:crypto';
import {
  type MethodDefinition,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import type { Connection, StreamReply } from '../../helpers/calls/call.js';
import { freshData } from '../../helpers/databases/engines.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { startServer } from '../../helpers/servers/server.js';
import { type HandlerAnswer, handlerAnswer, LIMITS, toMetadata } from './hostile-reply.js';

const pathOf = (method: string) => `/test.v1.Hostile/${method}`;
const kinds = {
  Unary: 'TRANSACTION',
  UnaryLease: 'LEASE',
  Stream: 'TRANSACTION',
  StreamLease: 'LEASE',
} as const;
type Kind = keyof typeof kinds;

function definition(name: Kind): MethodDefinition<Buffer, number | 'text'> {
  return {
    path: pathOf(name),
    requestStream: false,
    responseStream: name.startsWith('Stream'),
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (size) => (size === 'text' ? ('text' as unknown as Buffer) : Buffer.alloc(size, 'm')),
    responseDeserialize: (bytes) => bytes.length,
  };
}

/** One call of a client, unary or streaming. */
async function call(connection: Connection, kind: Kind, key: string): Promise<StreamReply> {
  const settings = { key, deadlineMs: 10_000 };
  if (kind.startsWith('Stream')) return connection.stream(pathOf(kind), Buffer.from(key), settings);
  const asIs = {
    path: pathOf(kind),
    requestSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: () => 0,
  };
  const reply = await connection.callBytes(asIs, Buffer.from(key), settings);
  return { ...reply, messages: reply.bytes ? [reply.bytes] : [] };
}

/** The parts of a reply that its replay must repeat. The other names belong to one call. */
function repeated({ code, details, messages, initial, trailers }: StreamReply) {
  const own = (metadata = trailers) => {
    const { date, ...entries } = metadata.toJSON();
    const names = Object.keys(entries).filter(
      (name) => !/^(grpc-(?!status-details-bin)|idempoten)/.test(name),
    );
    return names.sort().map((name) => [name, entries[name]]);
  };
  return { code, details, messages, initial: own(initial), trailing: own(trailers) };
}

async function open(t: ExecutionContext) {
  let next: HandlerAnswer | undefined;
  const state = { executions: 0, connections: new Set<unknown>() };
  const { store, database } = await (await freshData(t, 'sqlite')).open();
  await database.migrate('effects', ['CREATE TABLE effects (key TEXT NOT NULL)']);
  const policies = Object.fromEntries(
    Object.entries(kinds).map(([kind, atomicity]) => [
      pathOf(kind),
      { atomicity, maxReplyBytes: LIMITS.maxReplyBytes },
    ]),
  );
  const guard = createReplayGuard({ store, scope: singleTenant(), policies });
  t.teardown(() => guard.close());
  /** Stands between the handler and the guard, and replaces the status by values that grpc-js would correct. */
  const forge: ServerInterceptor = (_method, wire) =>
    new ServerInterceptingCall(wire, {
      start: (begin) => begin(),
      sendMetadata: (metadata, send) => send(metadata),
      sendMessage: (message, send) => send(message),
      sendStatus: (end, send) => send({ ...end, code: next?.code, details: next?.details } as typeof end),
    });
  const record: ServerInterceptor = (_method, wire) => {
    state.connections.add(wire.getConnectionInfo().remotePort);
    return new ServerInterceptingCall(wire);
  };
  const begin = async (key: string, sendMetadata: (metadata: ReturnType<typeof toMetadata>) => void) => {
    state.executions++;
    const { initial, trailing, ...answer } = next as HandlerAnswer;
    await database.query('INSERT INTO effects (key) VALUES ($1)', [key]);
    if (initial) sendMetadata(toMetadata(initial));
    return { ...answer, metadata: trailing && toMetadata(trailing) };
  };
  const unary = async (call: ServerUnaryCall<Buffer, unknown>, callback: sendUnaryData<unknown>) => {
    const { code, messages, metadata } = await begin(String(call.request), (sent) => call.sendMetadata(sent));
    if (code === status.OK && messages.length > 0) callback(null, messages[0], metadata);
    else callback({ code: status.UNKNOWN, metadata: metadata ?? toMetadata([]) });
  };
  const stream = async (call: ServerWritableStream<Buffer, unknown>) => {
    const { messages, metadata } = await begin(String(call.request), (sent) => call.sendMetadata(sent));
    for (const message of messages) call.write(message);
    call.end(metadata);
  };
  const names = Object.keys(kinds) as Kind[];
  const service = Object.fromEntries(names.map((name) => [name, definition(name)]));
  const handlers = { Unary: unary, UnaryLease: unary, Stream: stream, StreamLease: stream };
  const server = await startServer(t, {
    interceptors: [record, guard.interceptor, forge],
    services: [[guard.protect(service), handlers]],
    options: { 'grpc.max_send_message_length': LIMITS.maxMessageBytes },
  });
  const effects = async (key: string) =>
    (await database.query('SELECT key FROM effects WHERE key = $1', [key])).length;
  const answerWith = (answer: HandlerAnswer) => {
    next = answer;
    state.executions = 0;
  };
  return { connection: server.connect(), answerWith, effects, state };
}

for (const kind of Object.keys(kinds) as Kind[]) {
  test(`${kind}: any answer of a handler is replayed as it was sent, or refused with nothing committed`, async (t) => {
    const { connection, answerWith, effects, state } = await open(t);
    await assertProperty(
      t,
      fc.asyncProperty(handlerAnswer, async (answer) => {
        answerWith(answer);
        const key = randomUUID();
        const first = await call(connection, kind, key);
        const second = await call(connection, kind, key);
        t.deepEqual(repeated(second), repeated(first));
        t.notRegex(first.details, /Deadline exceeded after/, 'the call is answered');
        const isStored = first.trailers.get('idempotency-expires-at').length === 1;
        t.deepEqual([first.replayed, second.replayed], [false, isStored]);
        t.is(state.executions, isStored ? 1 : 2);
        t.is(await effects(key), first.code === status.OK ? 1 : 0, 'only an OK commits');
        if (first.code === status.OK) t.is(answer.code, status.OK);
        t.is(state.connections.size, 1, 'the connection stays open');
      }),
      60,
    );
  });
}
