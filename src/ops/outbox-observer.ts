import type { OutboxObserver } from 'grpc-replay-guard/outbox';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import type { Registry } from 'prom-client';
import type { Log } from '../platform/log.js';

/** Counts what the relay does, and logs what goes wrong. Not by the event's id, which is the key of its calls. */
export function createOutboxObserver(registry: Registry, log: Log): OutboxObserver {
  const metrics = createPrometheusOutboxObserver(registry);
  return {
    ...metrics,
    failed(attempt, seconds, error, retryInMs) {
      metrics.failed(attempt, seconds, error, retryInMs);
      if (retryInMs === undefined) log.error({ ...attempt, err: error }, 'an event became a dead letter');
      else log.warn({ ...attempt, err: error, retryInMs }, 'an event could not be delivered');
    },
    leaseLost(attempt) {
      metrics.leaseLost(attempt);
      log.warn({ ...attempt }, 'a delivery ended after its lease');
    },
    subscriptionEnded(destination, error) {
      metrics.subscriptionEnded(destination, error);
      log.error(
        { destination, err: error },
        'a receiver ended its subscription: nothing is sent to it any more',
      );
    },
    errorOccurred(error) {
      metrics.errorOccurred(error);
      log.error({ err: error }, 'the relay could not do its work for now');
    },
  };
}
