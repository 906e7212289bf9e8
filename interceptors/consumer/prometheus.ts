import { Counter, type Registry } from 'prom-client';
import type { ConsumerObserver } from './observer.js';

/** Keeps the metrics of consumers in a prom-client registry. */
export function createPrometheusConsumerObserver(register: Registry): ConsumerObserver {
  const registers = [register];
  const deliveries = new Counter({
    name: 'replay_guard_messages_total',
    help: 'Deliveries of messages to consumers by what became of them',
    labelNames: ['consumer', 'outcome'],
    registers,
  });
  const purged = new Counter({
    name: 'replay_guard_messages_purged_total',
    help: 'Processed messages forgotten because their retention is over',
    registers,
  });
  const purgeFailures = new Counter({
    name: 'replay_guard_messages_purge_failures_total',
    help: 'Rounds of forgetting processed messages that failed',
    registers,
  });
  return {
    deliveryEnded: (consumer, outcome) => deliveries.inc({ consumer, outcome }),
    messagesPurged: (count) => purged.inc(count),
    purgeFailed: () => purgeFailures.inc(),
  };
}
