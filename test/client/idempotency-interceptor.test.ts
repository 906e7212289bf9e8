import {
  type ClientOptions,
  credentials,
  InterceptingCall,
  type Interceptor,
  Metadata,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { GuardMode } from 'grpc-replay-guard';
import {
  createIdempotencyInterceptor,
  createRetryServiceConfig,
  readMethodsOf,
} from 'grpc-replay-guard/client';
import { Connection } from '../helpers/calls/call.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { type LedgerDefinition, loadLedger } from '../helpers/servers/ledger.js';
import { startServer } from '../helpers/servers/server.js';
import { Barrier } from '../helpers/waiting/barrier.js';

/** One attempt, as the server received it. */
interface Attempt {
  readonly method: string;
  readonly key: string;
  readonly firstSent: string;
  readonly previous: string;
}

type Answer = (attempt: Attempt) => status | Promise<status>;

const uuidv7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const retries = {
  'grpc.enable_retries': 1,
  'grpc.service_config': JSON.stringify(createRetryServiceConfig()),
};
const ledger = loadLedger();

/** A server without a guard that records every attempt, and a client with the interceptor. */
async function recordAttempts(
  t: ExecutionContext,
  options: ClientOptions = {},
  answer: Answer = () => status.OK,
  interceptors: Interceptor[] = [createIdempotencyInterceptor()],
) {
  const attempts: Attempt[] = [];
  const handle = async (
    call: { metadata: Metadata; getPath(): string },
    callback: (error: { code: status } | null, response?: object) => void,
  ) => {
    const sent = (name: string) => call.metadata.get(name).join('|');
    const attempt = {
      method: String(call.getPath().split('/').at(-1)),
      key: sent('idempotency-key'),
      firstSent: sent('idempotency-first-sent'),
      previous: sent('grpc-previous-rpc-attempts'),
    };
    attempts.push(attempt);
    const code = await answer(attempt);
    callback(code === status.OK ? null : { code }, {});
  };
  const handlers = Object.fromEntries(Object.keys(ledger).map((name) => [name, handle]));
  const { address } = await startServer(t, { services: [[ledger, handlers as never]] });
  const client = new Connection(address, credentials.createInsecure(), { interceptors, ...options });
  t.teardown(() => client.close());
  const call = (method: keyof LedgerDefinition, metadata = {}) =>
    client.call(ledger[method] as LedgerDefinition['Touch'], {}, { metadata });
  return { attempts, call };
}

test('every attempt of a retry policy carries the key and the time of the first attempt', async (t) => {
  const { attempts, call } = await recordAttempts(t, retries, ({ previous }) =>
    previous === '4' ? status.OK : status.UNAVAILABLE,
  );
  const before = Date.now();
  const replies = await Promise.all([call('Append'), call('Append')]);
  const after = Date.now();
  t.deepEqual(
    replies.map(({ code }) => code),
    [status.OK, status.OK],
  );
  t.is(attempts.length, 10);
  const keys = [...new Set(attempts.map(({ key }) => key))];
  t.is(keys.length, 2);
  for (const key of keys) {
    t.regex(key, uuidv7);
    const own = attempts.filter((attempt) => attempt.key === key);
    t.deepEqual(
      own.map(({ previous }) => previous),
      ['', '1', '2', '3', '4'],
    );
    const [firstSent, ...others] = new Set(own.map((attempt) => attempt.firstSent));
    t.deepEqual(others, []);
    t.regex(String(firstSent), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    const ms = Date.parse(String(firstSent));
    t.true(before <= ms && ms <= after);
  }
});

test('every hedge carries the same key and time', async (t) => {
  const barrier = new Barrier();
  const hedgingPolicy = { maxAttempts: 3, hedgingDelay: '0.01s', nonFatalStatusCodes: ['UNAVAILABLE'] };
  const config = JSON.stringify({ methodConfig: [{ name: [{}], hedgingPolicy }] });
  const options = { 'grpc.enable_retries': 1, 'grpc.service_config': config };
  const { attempts, call } = await recordAttempts(t, options, async () => {
    await barrier.pass();
    return status.OK;
  });
  const reply = call('Append');
  await barrier.reached(3);
  barrier.open();
  t.is((await reply).code, status.OK);
  t.deepEqual(attempts.map(({ previous }) => previous).sort(), ['', '1', '2']);
  t.is(new Set(attempts.map(({ key, firstSent }) => `${key} ${firstSent}`)).size, 1);
  t.regex(String(attempts[0]?.key), uuidv7);
});

test('each call gets a new key that sorts after all earlier keys', async (t) => {
  const { attempts, call } = await recordAttempts(t);
  for (let i = 0; i < 50; i++) await call('Append');
  const keys = attempts.map(({ key }) => key);
  t.is(new Set(keys).size, 50);
  t.deepEqual(keys, [...keys].sort());
});

test('a key in the metadata is kept, with or without a first-sent time', async (t) => {
  const { attempts, call } = await recordAttempts(t);
  await call('Append', { 'idempotency-key': 'mine' });
  const firstSent = '2026-01-31T08:30:00Z';
  await call('Append', { 'idempotency-key': 'mine', 'idempotency-first-sent': firstSent });
  await call('Append', { 'idempotency-first-sent': firstSent });
  t.like(attempts, [
    { key: 'mine', firstSent: '' },
    { key: 'mine', firstSent },
  ]);
  t.regex(String(attempts[2]?.key), uuidv7);
  t.is(attempts[2]?.firstSent, firstSent);
});

test('the interceptor does not change the metadata object of the caller', async (t) => {
  const { attempts, call } = await recordAttempts(t);
  const metadata = new Metadata();
  await call('Append', metadata);
  await call('Append', metadata);
  t.deepEqual(metadata.toJSON(), {});
  t.is(new Set(attempts.map(({ key }) => key)).size, 2);
});

test('skipped methods get no key', async (t) => {
  t.deepEqual(readMethodsOf(ledger), ['/test.v1.LedgerService/Read']);
  const skips = [readMethodsOf(ledger), (path: string) => path.endsWith('/Read')];
  for (const skip of skips) {
    const { attempts, call } = await recordAttempts(t, {}, undefined, [
      createIdempotencyInterceptor({ skip }),
    ]);
    for (const method of ['Read', 'Touch', 'Append', 'Close'] as const) await call(method);
    t.deepEqual(
      attempts.map(({ method, key, firstSent }) => [method, key !== '', firstSent !== '']),
      [
        ['Read', false, false],
        ['Touch', true, true],
        ['Append', true, true],
        ['Close', true, true],
      ],
    );
  }
});

test('one key is created per call, also if a later interceptor waits', async (t) => {
  const waiting: Interceptor = (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => void Promise.resolve().then(() => next(metadata, listener)),
    });
  const { attempts, call } = await recordAttempts(
    t,
    retries,
    ({ previous }) => (previous ? status.OK : status.UNAVAILABLE),
    [createIdempotencyInterceptor(), waiting],
  );
  t.is((await call('Append')).code, status.OK);
  t.is(new Set(attempts.map(({ key }) => key)).size, 1);
});

for (const mode of ['OFF', 'OBSERVE'] as const satisfies GuardMode[]) {
  test(`a handler behind a guard in mode ${mode} sends new keys`, async (t) => {
    const far = await recordAttempts(t);
    const near = await openLedger(t, 'memory', {
      guard: { mode },
      handlers: () =>
        onBoth(async (_account, callback) => {
          await far.call('Append');
          callback(null, {});
        }),
    });
    for (let i = 0; i < 2; i++) t.is((await near.transfer('k')).code, status.OK);
    t.is(new Set(far.attempts.map(({ key }) => key)).size, 2);
    for (const { key } of far.attempts) t.regex(key, uuidv7);
  });
}
