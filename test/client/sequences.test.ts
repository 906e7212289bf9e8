import { type ClientOptions, credentials, Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  createIdempotencyInterceptor,
  createRetryServiceConfig,
  type ProducerSequence,
  withIdempotencyKey,
  withSequence,
} from 'grpc-replay-guard/client';
import { Connection } from '../helpers/calls/call.js';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../helpers/servers/ledger.js';
import { startServer } from '../helpers/servers/server.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const ledger = loadLedger();
const names = ['producer', 'sequence', 'epoch', 'key', 'first-sent'].map((name) => `idempotency-${name}`);

/** A server that records the metadata of each attempt, and a client with the interceptor. */
async function recordAttempts(
  t: ExecutionContext,
  options: ClientOptions,
  answer: (count: number) => Promise<status>,
) {
  const attempts: Record<string, unknown>[] = [];
  const Append = async (
    { metadata }: { metadata: Metadata },
    callback: (error: { code: status } | null, response?: object) => void,
  ) => {
    const sent = names.filter((name) => metadata.get(name).length > 0);
    attempts.push(Object.fromEntries(sent.map((name) => [name, metadata.get(name).join('|')])));
    const code = await answer(attempts.length);
    callback(code === status.OK ? null : { code }, {});
  };
  const { address } = await startServer(t, { services: [[ledger, { Append } as never]] });
  const interceptors = [createIdempotencyInterceptor()];
  const retrying = { 'grpc.enable_retries': 1, interceptors, ...options };
  const client = new Connection(address, credentials.createInsecure(), retrying);
  t.teardown(() => client.close());
  return { attempts, call: (metadata: Metadata) => client.call(ledger.Append, {}, { metadata }) };
}

const firstSent = '2026-01-31T08:30:00.125Z';
const named = withSequence({ producer: 'p', sequence: 7, epoch: 3 }, { firstSent });
const sent = {
  'idempotency-producer': 'p',
  'idempotency-sequence': '7',
  'idempotency-epoch': '3',
  'idempotency-first-sent': firstSent,
};

test('every attempt of a retry policy carries the same sequence and no key', async (t) => {
  const config = { 'grpc.service_config': JSON.stringify(createRetryServiceConfig({ initialBackoffMs: 1 })) };
  const { attempts, call } = await recordAttempts(t, config, async (count) =>
    count < 5 ? status.UNAVAILABLE : status.OK,
  );
  t.is((await call(named)).code, status.OK);
  t.deepEqual(attempts, [sent, sent, sent, sent, sent]);
});

test('every hedge carries the same sequence and no key', async (t) => {
  const barrier = new Barrier();
  const hedgingPolicy = { maxAttempts: 3, hedgingDelay: '0.01s', nonFatalStatusCodes: ['UNAVAILABLE'] };
  const config = JSON.stringify({ methodConfig: [{ name: [{}], hedgingPolicy }] });
  const { attempts, call } = await recordAttempts(t, { 'grpc.service_config': config }, async () => {
    await barrier.pass();
    return status.OK;
  });
  const reply = call(named);
  await barrier.reached(3);
  barrier.open();
  t.is((await reply).code, status.OK);
  t.deepEqual(attempts, [sent, sent, sent]);
});

test('a guarded server accepts the metadata of withSequence', async (t) => {
  const { append } = await openLedger(t, 'memory');
  const call = (sequence: number | bigint) =>
    append(undefined, {}, { metadata: withSequence({ producer: 'p', sequence, epoch: 2n ** 62n }) });
  t.like(await call(0n), { code: status.OK, replayed: false });
  t.like(await call(0), { code: status.OK, replayed: true });
  t.is((await call(2)).statusDetails?.errorInfo?.metadata.expected, '1');
});

test('withSequence sets the sequence and the time and keeps other metadata', (t) => {
  const own = new Metadata();
  for (const [name, value] of Object.entries({ ...sent, 'x-own': '1' })) own.set(name, value);
  const written = (name: ProducerSequence) => withSequence(name, {}, own).toJSON();
  const rest = { 'x-own': ['1'], 'idempotency-first-sent': [firstSent] };
  t.deepEqual(written({ producer: 'q', sequence: 8 }), {
    ...rest,
    'idempotency-producer': ['q'],
    'idempotency-sequence': ['8'],
  });
  t.deepEqual(written({ producer: 'q', sequence: 2n ** 63n - 1n, epoch: 0 }), {
    ...rest,
    'idempotency-producer': ['q'],
    'idempotency-sequence': ['9223372036854775807'],
    'idempotency-epoch': ['0'],
  });
  t.deepEqual(own.get('idempotency-sequence'), ['7']);
});

test('withSequence refuses malformed parts and metadata with a key', (t) => {
  const refused = (name: object) =>
    t.throws(
      () => withSequence(name as ProducerSequence),
      { instanceOf: TypeError },
      JSON.stringify(Object.keys(name)),
    );
  for (const producer of ['', 'a b', 'a,b', 'ä', 'p'.repeat(256), 1]) refused({ producer, sequence: 0 });
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY, -1n, 2n ** 63n, '1', null]) {
    refused({ producer: 'p', sequence: bad });
    refused({ producer: 'p', sequence: 0, epoch: bad });
  }
  refused({ producer: 'p' });
  t.throws(() => withSequence({ producer: 'p', sequence: 0 }, { firstSent: 'today' }), {
    instanceOf: TypeError,
  });
  const both = { instanceOf: TypeError };
  t.throws(() => withSequence({ producer: 'p', sequence: 0 }, {}, withIdempotencyKey('k')), both);
  t.throws(() => withIdempotencyKey('k', {}, named), both);
});
