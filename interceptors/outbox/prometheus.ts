import type { Registry } from 'prom-client';
import { SharedMetrics, startAtZero } from '../options/shared-metrics.js';
import type { OutboxObserver } from './observer.js';

/**
 * Creates an observer that keeps the metrics of relays in a prom-client registry. The names of the metrics begin with
 * `replay_guard_outbox_`. A counter starts at 0 when the relay is created. Several observers of one registry share their metrics.
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createPrometheusOutboxObserver(register: Registry): OutboxObserver {
  const metrics = new SharedMetrics(register);
  const byType = ['destination', 'type'] as const;
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    metrics.counter(`replay_guard_outbox_${name}`, help, labelNames);
  const gauge = (name: string, help: string) =>
    metrics.gauge(`replay_guard_outbox_${name}`, help, ['destination'], { aggregator: 'max' });
  const delivered = counter('delivered_total', 'Events delivered', byType);
  const failed = counter('failed_attempts_total', 'Failed attempts at a delivery', byType);
  const died = counter('dead_letters_total', 'Events that became dead letters', byType);
  const lost = counter('leases_lost_total', 'Attempts that ended after their lease', byType);
  const ended = counter('subscriptions_ended_total', 'Receivers that ended their subscription', [
    'destination',
  ]);
  const purged = counter('purged_total', 'Old events deleted', []);
  const errors = counter('errors_total', 'Failed runs of relays, and lost connections for wake-ups', []);
  const pending = gauge('pending', 'Events that wait for delivery');
  const dead = gauge('dead', 'Current dead letters');
  const oldest = gauge('oldest_age_seconds', 'Age of the oldest event that waits for delivery');
  const closed = gauge('closed', '1 if the receiver has ended its subscription, else 0');
  const seconds = metrics.histogram(
    'replay_guard_outbox_delivery_duration_seconds',
    'Duration of an attempt at a delivery',
    ['destination'],
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  );

  return {
    destinationServed(destination, types) {
      for (const type of types)
        for (const metric of [delivered, failed, died, lost]) startAtZero(metric, { destination, type });
      for (const metric of [ended, seconds]) startAtZero(metric, { destination });
    },
    delivered({ destination, type }, took) {
      delivered.inc({ destination, type });
      seconds.observe({ destination }, took);
    },
    failed({ destination, type }, took, _error, retryInMs) {
      failed.inc({ destination, type });
      if (retryInMs === undefined) died.inc({ destination, type });
      seconds.observe({ destination }, took);
    },
    leaseLost: ({ destination, type }) => lost.inc({ destination, type }),
    subscriptionEnded: (destination) => ended.inc({ destination }),
    reported(report) {
      const { destination } = report;
      pending.set({ destination }, report.pending);
      dead.set({ destination }, report.dead);
      oldest.set({ destination }, report.oldestMs / 1_000);
      closed.set({ destination }, report.closed.length > 0 ? 1 : 0);
    },
    purged: (count) => purged.inc(count),
    errorOccurred: () => errors.inc(),
    recovered() {},
  };
}
