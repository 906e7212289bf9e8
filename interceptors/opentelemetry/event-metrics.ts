import type { ConsumerObserver } from '../consumer/index.js';
import { assertKnownOptions } from '../options/known-options.js';
import type { OutboxObserver } from '../outbox/index.js';
import { deliveryOutcomes } from './attribute-values.js';
import { CALL_BUCKETS, instruments, type OpenTelemetryObserverOptions } from './instruments.js';

/** The options of `createOpenTelemetryConsumerObserver`. */
export interface OpenTelemetryConsumerObserverOptions extends OpenTelemetryObserverOptions {
  /** The consumers whose counters start at 0. Those of other consumers start at their first message. Default: none. */
  readonly consumers?: readonly string[];
}

/**
 * Creates an observer that keeps the metrics of relays with the API of OpenTelemetry. The metrics are those of
 * `createPrometheusOutboxObserver`. All names begin with `replay_guard.outbox.`.
 * @throws TypeError when an option is unknown
 */
export function createOpenTelemetryOutboxObserver(
  options: OpenTelemetryObserverOptions = {},
): Partial<OutboxObserver> {
  assertKnownOptions<OpenTelemetryObserverOptions>('createOpenTelemetryOutboxObserver', options, {
    meterProvider: true,
  });
  const make = instruments(options, 'replay_guard.outbox.');
  const delivered = make.counter('delivered', '{event}', 'Events delivered');
  const failed = make.counter('failed_attempts', '{attempt}', 'Failed attempts at a delivery');
  const died = make.counter('dead_letters', '{event}', 'Events that became dead letters');
  const lost = make.counter('leases_lost', '{attempt}', 'Attempts that ended after their lease');
  const ended = make.counter('subscriptions_ended', '{subscription}', 'Subscriptions that receivers ended');
  const purged = make.counter('purged', '{event}', 'Old events deleted');
  const errors = make.counter(
    'errors',
    '{error}',
    'Failed runs of relays, and lost connections for wake-ups',
  );
  purged.start({});
  errors.start({});
  const pending = make.gauge('pending', '{event}', 'Events that wait for delivery');
  const dead = make.gauge('dead', '{event}', 'Current dead letters');
  const oldest = make.gauge('oldest_age', 's', 'Age of the oldest event that waits for delivery');
  const closed = make.gauge('closed', '1', '1 if the receiver has ended its subscription, else 0');
  const seconds = make.histogram(
    'delivery.duration',
    's',
    'Duration of an attempt at a delivery',
    CALL_BUCKETS,
  );

  return {
    destinationServed(destination, types) {
      for (const type of types)
        for (const counter of [delivered, failed, died, lost]) counter.start(typeAt(destination, type));
      ended.start(at(destination));
    },
    delivered({ destination, type }, took) {
      delivered.add(typeAt(destination, type));
      seconds.record(took, at(destination));
    },
    failed({ destination, type }, took, _error, retryInMs) {
      failed.add(typeAt(destination, type));
      if (retryInMs === undefined) died.add(typeAt(destination, type));
      seconds.record(took, at(destination));
    },
    leaseLost: ({ destination, type }) => lost.add(typeAt(destination, type)),
    subscriptionEnded: (destination) => ended.add(at(destination)),
    reported(report) {
      const of = at(report.destination);
      pending.record(report.pending, of);
      dead.record(report.dead, of);
      oldest.record(report.oldestMs / 1_000, of);
      closed.record(report.closed.length > 0 ? 1 : 0, of);
    },
    purged: (count) => purged.add({}, count),
    errorOccurred: () => errors.add({}),
  };
}

/**
 * Creates an observer that counts the events of consumers with the API of OpenTelemetry. The metrics are those of
 * `createPrometheusConsumerObserver`. All names begin with `replay_guard.messages`.
 * @throws TypeError when an option is unknown
 */
export function createOpenTelemetryConsumerObserver(
  options: OpenTelemetryConsumerObserverOptions = {},
): ConsumerObserver {
  const known = { meterProvider: true, consumers: true } as const;
  assertKnownOptions<OpenTelemetryConsumerObserverOptions>(
    'createOpenTelemetryConsumerObserver',
    options,
    known,
  );
  const make = instruments(options, 'replay_guard.');
  const deliveries = make.counter(
    'messages',
    '{delivery}',
    'Deliveries of messages to consumers, by outcome',
  );
  const purged = make.counter(
    'messages_purged',
    '{message}',
    'Processed messages deleted after their retention',
  );
  const failures = make.counter(
    'messages_purge_failures',
    '{failure}',
    'Failed runs of the pruner of messages',
  );
  purged.start({});
  failures.start({});
  const started = new Set<string>();
  const start = (consumer: string) => {
    if (started.has(consumer)) return;
    started.add(consumer);
    for (const outcome of deliveryOutcomes) deliveries.start(endedAs(consumer, outcome));
  };
  options.consumers?.forEach(start);
  return {
    deliveryEnded(consumer, outcome) {
      start(consumer);
      deliveries.add(endedAs(consumer, outcome));
    },
    messagesPurged: (count) => purged.add({}, count),
    purgeFailed: () => failures.add({}),
  };
}

function endedAs(consumer: string, outcome: string) {
  return { 'replay_guard.consumer': consumer, 'replay_guard.outcome': outcome };
}

function at(destination: string) {
  return { 'replay_guard.outbox.destination': destination };
}

function typeAt(destination: string, type: string) {
  return { ...at(destination), 'replay_guard.outbox.type': type };
}
