import {
  type ClientDuplexStream,
  Metadata,
  type MethodDefinition,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  createReplayGuard,
  type MethodPolicy,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { RecordingObserver } from '../../helpers/servers/recording-observer.js';
import { startServer } from '../../helpers/servers/server.js';

const text = (value: string) => Buffer.from(value);
const texts = {
  ...{ requestSerialize: text, requestDeserialize: String },
  ...{ responseSerialize: text, responseDeserialize: String },
};
const method = (name: string, responseStream: boolean): MethodDefinition<string, string> => ({
  ...{ path: `/test.v1.Intake/${name}`, requestStream: true, responseStream },
  ...texts,
});
/** A service with client-streaming and bidirectional methods. */
const intake = { Collect: method('Collect', false), Echo: method('Echo', true) };
const paths = [intake.Collect.path, intake.Echo.path];
const all = (policy: Partial<MethodPolicy>) => Object.fromEntries(paths.map((path) => [path, policy]));

const handlers: UntypedServiceImplementation = {
  Collect(call: ServerReadableStream<string, string>, callback: sendUnaryData<string>) {
    const got: string[] = [];
    call.on('data', (part: string) => got.push(part)).on('end', () => callback(null, got.join()));
  },
  Echo(call: ServerDuplexStream<string, string>) {
    call.on('data', (part: string) => call.write(part)).on('end', () => call.end());
  },
};

function guarded(t: ExecutionContext, options: Partial<ReplayGuardOptions> = {}) {
  const [store, observer] = [new MemoryStore(), new RecordingObserver()];
  const guard = createReplayGuard({ store, scope: singleTenant(), observer, ...options });
  t.teardown(() => guard.close());
  return { guard, store, observer };
}

for (const definition of [{ Collect: intake.Collect }, { Echo: intake.Echo }] as ServiceDefinition[]) {
  const [name = ''] = Object.keys(definition);
  for (const [title, options] of [
    ['in the default mode', {}],
    ['in mode OBSERVE', { mode: 'OBSERVE' }],
    ['under its own policy', { mode: 'OFF', policies: { [`/test.v1.Intake/${name}`]: { mode: 'ENFORCE' } } }],
  ] as const) {
    test(`${name}: protect refuses a method with streaming requests ${title} and names the remedy`, (t) => {
      const path = `/test.v1.Intake/${name}`;
      const { guard } = guarded(t, options);
      const message = `${path} takes a stream of requests, so it cannot be guarded: set its policy's mode to OFF`;
      t.throws(() => guard.protect(definition), { instanceOf: TypeError, message });
    });
  }
}

test('methods with streaming requests are served unguarded in mode OFF', async (t) => {
  const { guard, store, observer } = guarded(t, { policies: all({ mode: 'OFF' }) });
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect(intake as ServiceDefinition), handlers]],
  });
  const { client } = server.connect();
  const metadata = new Metadata();
  metadata.set('idempotency-key', 'key');
  for (const _ of [1, 2]) {
    const collected = await new Promise<[string | undefined, Metadata]>((resolve) => {
      let reply: string | undefined;
      const call = client.makeClientStreamRequest(
        intake.Collect.path,
        text,
        String,
        metadata,
        (_error, got) => {
          reply = got;
        },
      );
      call.on('status', (end) => resolve([reply, end.metadata]));
      for (const part of ['a', 'b']) call.write(part);
      call.end();
    });
    t.is(collected[0], 'a,b');
    t.deepEqual(collected[1].get('idempotency-expires-at'), []);
    const echo = client.makeBidiStreamRequest(intake.Echo.path, text, String, metadata);
    t.deepEqual(await echoed(echo, 'a', 'b'), ['a', 'b']);
  }
  t.deepEqual(observer.ended, []);
  t.is(await store.estimateRecords(), 0);
});

async function echoed(call: ClientDuplexStream<string, string>, ...parts: string[]): Promise<string[]> {
  const got: string[] = [];
  call.on('data', (part: string) => got.push(part));
  for (const part of parts) call.write(part);
  call.end();
  await new Promise((resolve) => call.on('status', resolve));
  return got;
}

test('a service that is not protected is served unguarded', async (t) => {
  const { guard, store, observer } = guarded(t);
  const ledger = loadLedger();
  let entered = 0;
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [
      [
        ledger,
        {
          Append: (_call: unknown, answer: sendUnaryData<object>) =>
            answer(null, { entryId: `${++entered}` }),
          Settle: (call: ServerDuplexStream<object, object>) => call.end(),
        },
      ],
    ],
  });
  const connection = server.connect();
  for (const settings of [{ key: 'key' }, { key: 'key' }, { key: 'not a key' }, {}]) {
    const reply = await connection.call(ledger.Append, {}, settings);
    t.like(reply, { code: status.OK, message: { entryId: `${entered}` }, replayed: false });
    t.deepEqual(reply.trailers.get('idempotency-expires-at'), []);
    t.is((await connection.stream(ledger.Settle.path, Buffer.alloc(0), settings)).code, status.OK);
  }
  t.is(entered, 4);
  t.deepEqual(observer.ended, []);
  t.is(await store.estimateRecords(), 0);
});
