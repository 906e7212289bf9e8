import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import test from 'ava';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import {
  createOpenTelemetryConsumerObserver,
  createOpenTelemetryObserver,
  createOpenTelemetryOutboxObserver,
} from 'grpc-replay-guard/opentelemetry';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { Registry } from 'prom-client';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { append, failing, openOutbox, relayTo } from '../helpers/databases/outbox.js';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const data = emptiedData(test);

/** The attribute values of the points that show 0, by the name of the counter as the observers for Prometheus have it. */
type Started = Record<string, string[]>;

/** Returns the counters among metrics of OpenTelemetry. */
function startedIn(metrics: readonly MetricData[]): Started {
  const counters = metrics.filter(
    (metric) => metric.dataPointType === DataPointType.SUM && metric.isMonotonic,
  );
  return started(
    counters.map(({ descriptor, dataPoints }) => [
      descriptor.name.replace('replay_guard.', '').replaceAll('.', '_'),
      dataPoints.map(({ attributes, value }) => [attributes, Number(value)]),
    ]),
  );
}

/** Resolves to the counters of a registry. */
async function startedInRegistry(register: Registry): Promise<Started> {
  const counters = (await register.getMetricsAsJSON()).filter(({ type }) => String(type) === 'counter');
  return started(
    counters.map(({ name, values }) => [
      name.replace('replay_guard_', '').replace(/_total$/, ''),
      values.map(({ labels, value }) => [labels, value]),
    ]),
  );
}

function started(counters: readonly (readonly [string, readonly (readonly [object, number])[]])[]): Started {
  return Object.fromEntries(
    counters
      .map(([name, points]): [string, string[]] => {
        const zeros = points.filter(([, value]) => value === 0);
        // OpenTelemetry has one attribute for a method, Prometheus has a label for its service, too.
        const values = ([labels]: (typeof zeros)[number]) => Object.values(labels).join('/').split('/');
        return [name, zeros.map((point) => values(point).sort().join()).sort()];
      })
      .sort(),
  );
}

/** A provider whose metrics the test reads. */
function openMetrics() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const read = async () => {
    await reader.forceFlush();
    return (exporter.getMetrics().at(-1)?.scopeMetrics ?? []).flatMap(({ metrics }) => metrics);
  };
  /** Resolves to the value of the point that has these attributes. */
  const pointOf = async (name: string, attributes: Record<string, string> = {}) => {
    const points = (await read()).find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
    return points.find((point) =>
      Object.entries(attributes).every(([key, value]) => point.attributes[key] === value),
    )?.value;
  };
  return { meterProvider, read, pointOf };
}

test.serial('the metrics of a guard count each call by its outcome', async (t) => {
  const { meterProvider, read, pointOf } = openMetrics();
  const observer = createOpenTelemetryObserver({ meterProvider });
  const ledger = await openLedger(t, 'memory', { guard: { observer } });
  const of = { 'rpc.method': 'test.v1.LedgerService/Append' };
  t.is(await pointOf('replay_guard.calls', { ...of, 'replay_guard.outcome': 'replayed' }), 0);
  await ledger.append('secret-key', { account: 'secret' });
  await ledger.append('secret-key', { account: 'secret' });
  await ledger.append();
  const count = (outcome: string) =>
    pointOf('replay_guard.calls', { ...of, 'replay_guard.outcome': outcome });
  t.deepEqual([await count('executed'), await count('replayed'), await count('key_missing')], [1, 1, 1]);
  t.is(await pointOf('replay_guard.suppressed_side_effects', of), 1);
  const missing = { ...of, 'replay_guard.refusal.reason': 'IDEMPOTENCY_KEY_MISSING' };
  t.is(await pointOf('replay_guard.refusals', missing), 1);
  t.is(await pointOf('replay_guard.in_flight', of), 0);
  t.is(await pointOf('replay_guard.waiting_limit'), 10_000);
  t.like(await pointOf('replay_guard.handler.duration', of), { count: 1 });
  t.like(await pointOf('replay_guard.store.duration', { 'replay_guard.store.operation': 'claim' }), {
    count: 2,
  });
  observer.circuitChanged?.(true);
  observer.circuitChanged?.(true);
  t.is(await pointOf('replay_guard.open_circuits'), 1);
  observer.circuitChanged?.(false);
  t.is(await pointOf('replay_guard.open_circuits'), 0);
  t.notRegex(JSON.stringify(await read()), /secret/);
  observer.circuitChanged?.(true);
  await ledger.guard.close();
  t.is(await pointOf('replay_guard.open_circuits'), 0);
  t.is(await pointOf('replay_guard.waiting_limit'), 0);
});

test.serial('each counter of a guard starts at 0 for each of its attributes', async (t) => {
  const { meterProvider, read } = openMetrics();
  const observer = createOpenTelemetryObserver({ meterProvider });
  await openLedger(t, 'memory', { guard: { observer } });
  const register = new Registry();
  await openLedger(t, 'memory', { guard: { observer: createPrometheusObserver(register) } });
  t.deepEqual(startedIn(await read()), await startedInRegistry(register));
});

test.serial('each counter of a relay and of a consumer starts at 0 for each of its attributes', async (t) => {
  const { meterProvider, read } = openMetrics();
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const register = new Registry();
  const observer = [
    createOpenTelemetryOutboxObserver({ meterProvider }),
    createPrometheusOutboxObserver(register),
  ];
  relayTo(t, outbox, { deliveries: { note: failing } }, { observer });
  const consumers = ['desk'];
  const consumer = createOpenTelemetryConsumerObserver({ meterProvider, consumers });
  createPrometheusConsumerObserver(register, { consumers });
  const started = startedIn(await read());
  t.deepEqual(started, await startedInRegistry(register));
  t.true(Object.keys(started).length >= 10);
  consumer.deliveryEnded('other', 'failed');
  // A consumer that was not named starts at its first message.
  const others = startedIn(await read()).messages?.filter((values) => values.includes('other'));
  t.deepEqual(others, ['duplicate,other', 'in_progress,other', 'other,processed']);
});

test.serial('the age of the oldest execution is 0 for a method without a running execution', async (t) => {
  const { meterProvider, pointOf } = openMetrics();
  const entered = new Barrier();
  let end = () => {};
  const ledger = await openLedger(t, 'memory', {
    guard: { observer: createOpenTelemetryObserver({ meterProvider }) },
    handlers: () => ({
      Append: (_call, callback) => {
        end = () => callback(null, {});
        void entered.pass();
      },
    }),
  });
  const age = (method: string) =>
    pointOf('replay_guard.oldest_execution_age', { 'rpc.method': `test.v1.LedgerService/${method}` });
  const reply = ledger.append('held');
  await entered.reached();
  t.deepEqual([Number(await age('Append')) > 0, await age('Transfer')], [true, 0]);
  end();
  await reply;
  t.is(await age('Append'), 0);
});

test.serial('the metrics of a relay count deliveries and dead letters', async (t) => {
  const { meterProvider, pointOf } = openMetrics();
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const observer = createOpenTelemetryOutboxObserver({ meterProvider });
  const desk = { deliveries: { note: failing }, retry: { maxAttempts: 1 } };
  const relay = relayTo(t, outbox, desk, { observer });
  const of = { 'replay_guard.outbox.destination': 'desk', 'replay_guard.outbox.type': 'note' };
  t.is(await pointOf('replay_guard.outbox.dead_letters', of), 0);
  await append(outbox, ['a', 1]);
  await relay.runOnce();
  await relay.runMaintenance();
  t.is(await pointOf('replay_guard.outbox.dead_letters', of), 1);
  t.is(await pointOf('replay_guard.outbox.dead', { 'replay_guard.outbox.destination': 'desk' }), 1);
});

test('the observers handle the same events as the Prometheus observers', (t) => {
  const register = new Registry();
  const { meterProvider } = openMetrics();
  const eventsOf = (observer: object) => Object.keys(observer).sort();
  t.deepEqual(
    eventsOf(createOpenTelemetryObserver({ meterProvider })),
    eventsOf(createPrometheusObserver(register)),
  );
  t.deepEqual(
    [...eventsOf(createOpenTelemetryOutboxObserver({ meterProvider })), 'recovered'].sort(),
    eventsOf(createPrometheusOutboxObserver(register)),
  );
  t.deepEqual(
    eventsOf(createOpenTelemetryConsumerObserver({ meterProvider })),
    eventsOf(createPrometheusConsumerObserver(register)),
  );
});

test('an unknown option of the observers is refused', (t) => {
  for (const create of [
    createOpenTelemetryObserver,
    createOpenTelemetryOutboxObserver,
    createOpenTelemetryConsumerObserver,
  ])
    t.throws(() => create({ meter: 1 } as object), { instanceOf: TypeError, message: /meter/ });
});
