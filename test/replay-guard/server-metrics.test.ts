import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { singleTenant } from 'grpc-replay-guard';
import { createServerMetrics } from 'grpc-replay-guard/prometheus';
import { Registry } from 'prom-client';
import { type LedgerSetup, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const SERVICE = 'test.v1.LedgerService';

/** Starts a ledger whose calls are counted, and returns a function that reads the counts. */
async function open(t: ExecutionContext, setup: LedgerSetup = {}, place: 'before' | 'after' = 'before') {
  const register = new Registry();
  const metrics = createServerMetrics(register);
  const others = setup.before ?? [];
  const before = place === 'before' ? [metrics.interceptor, ...others] : [...others, metrics.interceptor];
  const ledger = await openLedger(t, 'sqlite', { ...setup, before });
  const value = async (sample: string) => {
    const line = (await register.metrics()).split('\n').find((text) => text.startsWith(`${sample} `));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  };
  const calls = (method: string, code: string) =>
    value(`replay_guard_server_calls_total{service="${SERVICE}",method="${method}",code="${code}"}`);
  const running = (method: string) =>
    value(`replay_guard_server_running_calls{service="${SERVICE}",method="${method}"}`);
  const timed = (method: string) =>
    value(`replay_guard_server_call_duration_seconds_count{service="${SERVICE}",method="${method}"}`);
  return { ledger, metrics, register, calls, running, timed };
}

test('calls are counted by status code, also of methods without a guard', async (t) => {
  const { ledger, calls, timed } = await open(t);
  t.is((await ledger.append('a')).code, status.OK);
  t.is((await ledger.append('a', { amountMinor: 2 })).code, status.FAILED_PRECONDITION);
  t.is((await ledger.connection.call(ledger.definition.Read, {})).code, status.OK);
  t.is(await calls('Append', 'OK'), 1);
  t.is(await calls('Append', 'FAILED_PRECONDITION'), 1);
  t.is(await calls('Read', 'OK'), 1);
  t.is(await timed('Append'), 2);
});

test('every code of a counted service starts at 0, and the definition stays the same', async (t) => {
  const { ledger, metrics, calls, running, timed } = await open(t);
  t.is(await calls('Append', 'OK'), undefined);
  t.is(metrics.count(ledger.definition), ledger.definition);
  for (const code of ['OK', 'UNAVAILABLE', 'UNAUTHENTICATED']) t.is(await calls('Append', code), 0);
  for (const method of ['Append', 'Read', 'Settle']) {
    t.is(await running(method), 0);
    t.is(await timed(method), 0);
  }
  await ledger.append('a');
  metrics.count(ledger.definition);
  t.is(await calls('Append', 'OK'), 1);
  t.is(await timed('Append'), 1, 'a second start does not discard a count');
});

test('a call whose client disconnects counts once as CANCELLED, and no longer as running', async (t) => {
  const barrier = new Barrier();
  const { ledger, calls, running, timed } = await open(t, {
    handlers: () => ({
      Append: async (_call, callback) => {
        await barrier.pass();
        callback(null, {});
      },
    }),
  });
  const leaving = new AbortController();
  const call = ledger.append('a', {}, { signal: leaving.signal });
  await barrier.reached();
  t.is(await running('Append'), 1);
  leaving.abort();
  t.is((await call).code, status.CANCELLED);
  await poll('the end of the call', async () => (await running('Append')) === 0);
  barrier.open();
  await ledger.outcomes.reached('executed');
  t.is(await calls('Append', 'CANCELLED'), 1);
  t.is(await calls('Append', 'OK'), undefined);
  t.is(await timed('Append'), 1);
});

test('a call at its deadline counts as DEADLINE_EXCEEDED', async (t) => {
  const barrier = new Barrier();
  const { ledger, calls, running } = await open(t, {
    handlers: () => ({
      Append: async (_call, callback) => {
        await barrier.pass();
        callback(null, {});
      },
    }),
  });
  // The client itself has no deadline. A client with one could cancel the call before the server ends it.
  const reply = await ledger.append('a', {}, { metadata: { 'grpc-timeout': '500m' } });
  t.is(reply.code, status.DEADLINE_EXCEEDED);
  await poll('the end of the call', async () => (await calls('Append', 'DEADLINE_EXCEEDED')) === 1);
  t.is(await running('Append'), 0);
  barrier.open();
});

test('a status of grpc-js itself is counted: a request that cannot be decoded', async (t) => {
  const { ledger, calls } = await open(t);
  const { Append } = ledger.definition;
  const malformed = Buffer.from([0x0a, 0xff]);
  const { code } = await ledger.connection.callBytes(Append, malformed, { key: 'a' });
  t.not(code, status.OK);
  t.is(await calls('Append', status[code]), 1);
});

const refusing: ServerInterceptor = (_method, call) =>
  new ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMetadata: () => call.sendStatus({ code: status.UNAUTHENTICATED, details: 'no token' }),
      }),
  });

for (const place of ['before', 'after'] as const) {
  test(`a call that another interceptor refuses is counted: metrics ${place} it`, async (t) => {
    const { ledger, calls, running } = await open(t, { before: [refusing] }, place);
    t.is((await ledger.append('a')).code, status.UNAUTHENTICATED);
    t.is(await calls('Append', 'UNAUTHENTICATED'), 1);
    t.is(await running('Append'), 0);
  });
}

test('two servers of one registry are counted together', async (t) => {
  const register = new Registry();
  const [first, second] = [createServerMetrics(register), createServerMetrics(register)];
  for (const { interceptor } of [first, second]) {
    const guard = { scope: singleTenant() };
    const ledger = await openLedger(t, 'sqlite', { before: [interceptor], guard });
    first.count(ledger.definition);
    second.count(ledger.definition);
    await ledger.append('a');
  }
  t.regex(await register.metrics(), /calls_total\{[^}]*method="Append",code="OK"\} 2$/m);
});
