import type { Registry } from 'prom-client';
import { SharedMetrics } from '../options/shared-metrics.js';
import type { ConsumerObserver } from './observer.js';

/**
 * Creates an observer that counts the events of consumers in a prom-client registry. Several observers of one registry
 * share their metrics.
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createPrometheusConsumerObserver(register: Registry): ConsumerObserver {
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
  return {
    deliveryEnded: (consumer, outcome) => deliveries.inc({ consumer, outcome }),
    messagesPurged: (count) => purged.inc(count),
    purgeFailed: () => purgeFailures.inc(),
  };
}
