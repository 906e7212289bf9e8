import type { Registry } from 'prom-client';
import { assertKnownOptions } from '../options/known-options.js';
import { SharedMetrics, startAtZero } from '../options/shared-metrics.js';
import { type ConsumerObserver, deliveryOutcomes } from './observer.js';

/** The options of `createPrometheusConsumerObserver`. */
export interface PrometheusConsumerOptions {
  /** The consumers whose counters start at 0. Those of other consumers start at their first message. Default: none. */
  readonly consumers?: readonly string[];
}

/**
 * Creates an observer that counts the events of consumers in a prom-client registry. Several observers of one registry
 * share their metrics.
 * @throws TypeError when an option is unknown
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createPrometheusConsumerObserver(
  register: Registry,
  options: PrometheusConsumerOptions = {},
): ConsumerObserver {
  assertKnownOptions<PrometheusConsumerOptions>('createPrometheusConsumerObserver', options, {
    consumers: true,
  });
  const metrics = new SharedMetrics(register);
  const deliveries = metrics.counter(
    'replay_guard_messages_total',
    'Deliveries of messages to consumers, by outcome',
    ['consumer', 'outcome'],
  );
  const purged = metrics.counter(
    'replay_guard_messages_purged_total',
    'Records of processed messages deleted after their retention',
  );
  const purgeFailures = metrics.counter(
    'replay_guard_messages_purge_failures_total',
    'Failed runs of the pruner of processed messages',
  );
  const start = (consumer: string) => {
    for (const outcome of deliveryOutcomes) startAtZero(deliveries, { consumer, outcome });
  };
  const started = new Set(options.consumers);
  for (const consumer of started) start(consumer);
  return {
    deliveryEnded(consumer, outcome) {
      if (!started.has(consumer)) start(consumer);
      started.add(consumer);
      deliveries.inc({ consumer, outcome });
    },
    messagesPurged: (count) => purged.inc(count),
    purgeFailed: () => purgeFailures.inc(),
  };
}
