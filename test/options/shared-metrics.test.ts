import test from 'ava';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';

const method = { service: 'test.v1.LedgerService', method: 'Append' };
const attempt = { destination: 'd', type: 'paid', aggregate: 'a', attempt: 1 };

/** For each kind of observer: makes one, reports one event, and names the metric that counts the event. */
const kinds: Record<string, (register: Registry) => { count(): void; readonly metric: string }> = {
  guard: (register) => {
    const observer = createPrometheusObserver(register);
    return { count: () => observer.callEnded(method, 'executed'), metric: 'replay_guard_calls_total' };
  },
  consumer: (register) => {
    const observer = createPrometheusConsumerObserver(register);
    return { count: () => observer.deliveryEnded('c', 'processed'), metric: 'replay_guard_messages_total' };
  },
  outbox: (register) => {
    const observer = createPrometheusOutboxObserver(register);
    return { count: () => observer.delivered(attempt, 1), metric: 'replay_guard_outbox_delivered_total' };
  },
};

/** Resolves to the only value of a metric. */
async function sampleOf(
  register: Pick<Registry, 'getSingleMetric'>,
  metric: string,
): Promise<number | undefined> {
  return (await register.getSingleMetric(metric)?.get())?.values[0]?.value;
}

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: two observers of one registry share their counters`, async (t) => {
    const register = new Registry();
    const [first, second] = [make(register), make(register)];
    first.count();
    second.count();
    t.is(await sampleOf(register, first.metric), 2);
  });

  test(`${kind}: the observers of two registries count separately`, async (t) => {
    const registers = [new Registry(), new Registry()] as const;
    const [first, second] = [make(registers[0]), make(registers[1])];
    first.count();
    first.count();
    second.count();
    t.is(await sampleOf(registers[0], first.metric), 2);
    t.is(await sampleOf(registers[1], first.metric), 1);
  });

  test(`${kind}: a metric of the application with the name and other labels is refused`, (t) => {
    const register = new Registry();
    const { metric } = make(new Registry());
    const labelNames = ['tenant'];
    const own = new Counter({ name: metric, help: 'own', labelNames, registers: [register] });
    t.throws(() => make(register), {
      message: new RegExp(
        `^the registry already has a metric ${metric}: counter with the labels tenant, not counter`,
      ),
    });
    t.is(register.getSingleMetric(metric), own);
  });

  test(`${kind}: a metric of the application with the name and another type is refused`, (t) => {
    const register = new Registry();
    const { metric } = make(new Registry());
    new Gauge({ name: metric, help: 'own', registers: [register] });
    t.throws(() => make(register), { message: /: gauge without labels, not counter with the labels / });
  });

  test(`${kind}: an observer made after clear() counts in the registry, and the earlier observer still works`, async (t) => {
    const register = new Registry();
    const earlier = make(register);
    register.clear();
    t.notThrows(() => earlier.count());
    const later = make(register);
    later.count();
    t.is(await sampleOf(register, later.metric), 1);
  });
}

test('a closed guard does not count any more: its limit, its executions and its circuit', async (t) => {
  const register = new Registry();
  const observer = createPrometheusObserver(register);
  const value = (name: string) => sampleOf(register, `replay_guard_${name}`);
  const method = { service: 's', method: 'm' };
  const guards = [1, 2].map(() => ({ waiting: 5, oldestExecutions: () => new Map([[method, 60]]) }));
  for (const guard of guards) observer.guardCreated(guard);
  observer.methodProtected(method);
  observer.circuitChanged(true);
  const age = 'oldest_execution_age_seconds';
  t.deepEqual([await value('waiting_limit'), await value(age), await value('circuit_open')], [10, 60, 1]);
  const [first, second] = guards;
  if (first) observer.guardClosed(first);
  t.deepEqual([await value('waiting_limit'), await value(age), await value('circuit_open')], [5, 60, 1]);
  if (second) observer.guardClosed(second);
  t.deepEqual([await value('waiting_limit'), await value(age), await value('circuit_open')], [0, 0, 0]);
});

test('in a cluster the gauges of a database that all processes share are not added up', async (t) => {
  const registers = await Promise.all(
    [1, 2].map(async () => {
      const register = new Registry();
      const observer = createPrometheusObserver(register);
      const method = { service: 's', method: 'm' };
      observer.guardCreated({ waiting: 5, oldestExecutions: () => new Map([[method, 60]]) });
      observer.methodProtected(method);
      observer.circuitChanged(true);
      observer.recordsCounted(100);
      return register.getMetricsAsJSON();
    }),
  );
  const cluster = AggregatorRegistry.aggregate(registers);
  const value = (name: string) => sampleOf(cluster, `replay_guard_${name}`);
  t.deepEqual(
    [await value('circuit_open'), await value('oldest_execution_age_seconds'), await value('records')],
    [1, 60, 100],
  );
  t.deepEqual([await value('build_info'), await value('waiting_limit')], [1, 10]);
});

test('the circuit gauge is 1 while any guard of the registry considers its store down', async (t) => {
  const register = new Registry();
  const [first, second] = [createPrometheusObserver(register), createPrometheusObserver(register)];
  const gauge = () => sampleOf(register, 'replay_guard_circuit_open');
  first.circuitChanged(true);
  second.circuitChanged(true);
  first.circuitChanged(false);
  t.is(await gauge(), 1);
  second.circuitChanged(false);
  t.is(await gauge(), 0);
});
