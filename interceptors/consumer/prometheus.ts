import { Counter, type Registry } from 'prom-client';
import type { ConsumerObserver } from './observer.js';

/**
 * Creates an observer that counts the events of consumers in a prom-client registry. Create one observer per
 * registry.
 */
export function createPrometheusConsumerObserver(register: Registry): ConsumerObserver {
  const registers = [register];
  const deliveries = new Counter({
    name: 'replay_guard_messages_total',
    help: 'Deliveries of messages to consumers, by outcome',
    labelNames: ['consumer', 'outcome'],
    registers,
  });
  const purged = new Counter({
    name: 'replay_guard_messages_purged_total',
    help: 'Records of processed messages deleted after their retention',
    registers,
  });
  const purgeFailures = new Counter({
    name: 'replay_guard_messages_purge_failures_total',
    help: 'Failed runs of the pruner of processed messages',
    registers,
  });
  return {
    deliveryEnded: (consumer, outcome) => deliveries.inc({ consumer, outcome }),
    messagesPurged: (count) => purged.inc(count),
    purgeFailed: () => purgeFailures.inc(),
  };
}
