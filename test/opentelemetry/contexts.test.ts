import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { context, trace } from '@opentelemetry/api';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createConsumer } from 'grpc-replay-guard/consumer';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createOpenTelemetryTracing } from 'grpc-replay-guard/opentelemetry';
import { createOutbox, migrateOutbox } from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import { RepeatingTask } from 'grpc-replay-guard/timing';
import { PacedLines } from '#library/logging/paced-lines.js';
import { Circuit } from '#library/replay-guard/store-access/circuit.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { note, relayTo } from '../helpers/databases/outbox.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { RecordedSpans, remoteParent } from '../helpers/servers/recorded-spans.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const spans = new RecordedSpans();
const data = emptiedData(test);
const tracing = createOpenTelemetryTracing();
const request = new AsyncLocalStorage<string>();
// Without spans of the pool, the instrumentation does not bind the callbacks of the pool to the context of the caller.
const instrumentation = new PgInstrumentation({ ignoreConnectSpans: true });
createRequire(import.meta.url)('pg');
test.after(() => instrumentation.disable());

type Trace = ReturnType<typeof remoteParent>;

/** Returns the texts of the statements in a trace. */
function statementsOf(of: Trace): string[] {
  return spans
    .of(of)
    .flatMap(({ attributes: { 'db.query.text': text } }) => (text === undefined ? [] : String(text)));
}

/** Returns the spans of the statements that contain a text. */
function statementsWith(text: string) {
  return spans.all().filter(({ attributes }) => String(attributes['db.query.text']).includes(text));
}

test.serial('each statement is in the trace of its call, also after a wait for the connection', async (t) => {
  const barrier = new Barrier();
  const opened = await (await data(t, 'postgres')).open({ maxConnections: 1 });
  const ledger = await openLedger(t, 'postgres', {
    opened,
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await database.query(`SELECT '${account}' AS account`);
        if (account === 'first') await barrier.pass();
        callback(null, {});
      }),
    guard: { tracing },
  });
  const [first, second] = [remoteParent(), remoteParent()];
  const executing = ledger.ask('append', 'first', 'first', first);
  await barrier.reached(1);
  const waiting = ledger.ask('append', 'second', 'second', second);
  const ran = new Set<unknown>();
  const task = new RepeatingTask({
    run: () => ledger.database.query("SELECT 'background' AS account"),
    intervalMs: 3_600_000,
    onError: (error) => ran.add(error),
  });
  t.teardown(() => task.stop());
  request.run('request', () => task.start());
  await poll('both wait for the connection', () => opened.load()?.waiting === 2);
  barrier.open();
  await Promise.all([executing, waiting]);
  await poll('the statement of the task', () => statementsWith('background').length === 1);

  for (const [of, name] of [
    [first, 'first'],
    [second, 'second'],
  ] as const) {
    // The first statement of a connection reads its settings.
    const [begin, work, end, ...others] = statementsOf(of).filter((text) => !text.includes('SELECT differs'));
    t.regex(begin ?? '', /^BEGIN .*INSERT INTO replay_guard_records/s);
    t.true(work?.includes(`SELECT '${name}' AS account`), work);
    t.regex(end ?? '', /; COMMIT$/);
    t.deepEqual(others, []);
  }
  t.is(statementsWith('background')[0]?.parentSpanContext, undefined);
});

test.serial('long-lived parts that a request has made do not carry its context', async (t) => {
  const contexts: unknown[] = [];
  const stops: (() => Promise<unknown>)[] = [];
  t.teardown(() => Promise.all(stops.map((stop) => stop())).then(() => {}));
  const source = await data(t, 'postgres');
  const seen = (event: string) => contexts.push([event, request.getStore(), trace.getActiveSpan()]);
  const ledger = await openLedger(t, source, {
    handlers: (database) =>
      onBoth(async (_account, callback) => {
        const outbox = createOutbox({ database, routes: { note: ['desk'] } });
        const wakeUps = createPostgresWakeUps({ client: { connectionString: source.url } });
        const deliver = async () => void seen('delivery');
        const options = { pollMs: 20, wakeUps, observer: { reported: () => seen('report') } };
        relayTo(t, outbox, deliver, options).start();
        const consumer = await createConsumer({ database });
        const guard = createReplayGuard({
          ...{ store: ledger.store, scope: singleTenant(), purgeEveryMs: 20 },
          observer: { recordsCounted: () => seen('purge') },
        });
        stops.push(consumer.close, guard.close);
        await outbox.append(note('a', 1));
        callback(null, {});
      }),
    guard: { tracing },
  });
  await migrateOutbox(ledger.database);
  const of = remoteParent();
  await request.run('request', () => ledger.append('key', {}, of));
  const ended = spans.of(of).length;
  const polls = () => statementsWith('WITH due AS MATERIALIZED').length;
  await poll('the relay has polled', () => polls() >= 3);
  await poll(
    'a delivery, a report and a purge',
    () => new Set(contexts.map((at) => (at as string[])[0])).size === 3,
  );
  await poll('LISTEN', () => statementsWith('LISTEN').length === 1);
  t.is(spans.of(of).length, ended, 'the trace of the request has ended with the request');
  t.deepEqual(
    contexts.filter((at) => (at as unknown[]).slice(1).some((value) => value !== undefined)),
    [],
  );
  for (const text of ['LISTEN', 'pg_notify'])
    t.deepEqual(
      statementsWith(text).map(({ parentSpanContext }) => parentSpanContext),
      [undefined],
      text,
    );
});

test.serial('the heartbeats of an execution are not part of its trace', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, await data(t, 'postgres'), {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { tracing, policies: { '/test.v1.LedgerService/Transfer': { leaseMs: 1_000 } } },
  });
  const of = remoteParent();
  const executing = ledger.ask('transfer', 'key', '', of);
  const renewals = () => statementsWith('SET lease_until');
  await poll('a heartbeat', () => renewals().length > 0);
  barrier.open();
  t.is((await executing).code, 0);
  t.is(renewals()[0]?.parentSpanContext, undefined);
});

test.serial(
  'the socket of a connection does not carry the context of the request that opens it',
  async (t) => {
    const opened = await (await data(t, 'postgres')).open();
    await opened.close();
    const { database } = await (await data(t, 'postgres')).open({ maxConnections: 3 });
    const contexts: unknown[] = [];
    const hook = createHook({
      init(_id, type) {
        if (type === 'TCPWRAP') contexts.push([request.getStore(), trace.getActiveSpan()]);
      },
    }).enable();
    const span = trace.getTracer('test').startSpan('request');
    const sleep = () => database.query('SELECT pg_sleep(0.05)');
    await context.with(trace.setSpan(context.active(), span), () =>
      request.run('request', () => Promise.all([sleep(), sleep(), sleep()])),
    );
    hook.disable();
    span.end();
    t.true(contexts.length >= 2);
    for (const at of contexts) t.deepEqual(at, [undefined, undefined]);
  },
);

test('a circuit probes outside of the request whose failure has opened it', async (t) => {
  const contexts: unknown[] = [];
  const circuit = request.run('request', () => {
    const made = new Circuit(
      async () => contexts.push(request.getStore()),
      () => {},
    );
    for (let failures = 0; failures < 5; failures++)
      made.failed(made.begin(), new DatabaseUnavailableError('down'));
    return made;
  });
  t.teardown(() => circuit.stop());
  await poll('a probe', () => contexts.length > 0);
  t.is(contexts[0], undefined);
});

test('a log line about many events is written outside of the requests of the events', async (t) => {
  const contexts: unknown[] = [];
  const lines = new PacedLines(20);
  const add = () => lines.add('kind', () => contexts.push(request.getStore()));
  request.run('first', add);
  request.run('second', add);
  // The timer of the line does not keep the process alive.
  await poll('the second line', () => contexts.length === 2);
  t.deepEqual(contexts, ['first', undefined]);
});
