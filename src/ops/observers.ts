import type { ReplayGuardObserver } from 'grpc-replay-guard';
import type { ConsumerObserver } from 'grpc-replay-guard/consumer';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import type { OutboxObserver } from 'grpc-replay-guard/outbox';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { Registry } from 'prom-client';
import type { Log } from '../platform/log.js';
import { FAILURE_LOG_INTERVAL_MS, kindOf, PacedLog } from '../platform/paced-log.js';

/** Makes an observer that counts the guard's calls and logs its failures. Callers never receive the reasons. */
export function createGuardObserver(registry: Registry, log: Log): ReplayGuardObserver {
  const metrics = createPrometheusObserver(registry);
  const paced = new PacedLog(QUOTA_LOG_INTERVAL_MS);
  return {
    ...metrics,
    quotaExceeded(method, exceeded) {
      metrics.quotaExceeded(method, exceeded);
      const fields = { ...method, quota: exceeded.quota, limit: exceeded.limit };
      // A caller above a quota may send many calls.
      paced.add(`${method.service}/${method.method} ${exceeded.quota}`, (refused) =>
        log.warn({ ...fields, refused }, 'calls were refused: a caller has reached a quota'),
      );
    },
    storeUsed(operation, seconds, error) {
      metrics.storeUsed(operation, seconds, error);
      if (error !== undefined) log.warn({ err: error, operation }, 'the store of the guard failed');
    },
    circuitChanged(open) {
      metrics.circuitChanged(open);
      if (open) log.error('the store of the guard is down: calls are refused until it answers a probe');
      else log.info('the store of the guard is available again');
    },
    handlerFailed(method, error) {
      metrics.handlerFailed(method, error);
      log.error({ err: error, ...method }, 'a guarded call failed unexpectedly');
    },
    afterCommitFailed(method, error) {
      metrics.afterCommitFailed(method, error);
      log.error({ err: error, ...method }, 'an action after a commit failed');
    },
  };
}

/** The minimum interval between two log lines about refusals by one quota at one method, in milliseconds. */
const QUOTA_LOG_INTERVAL_MS = 10_000;

/** Makes an observer that counts the messages of the consumer and logs purge failures. */
export function createConsumerObserver(registry: Registry, log: Log): ConsumerObserver {
  const metrics = createPrometheusConsumerObserver(registry);
  return {
    ...metrics,
    purgeFailed(error) {
      metrics.purgeFailed(error);
      log.warn({ err: error }, 'processed messages could not be purged');
    },
  };
}

/** Makes an observer that counts the deliveries of the relay and logs its failures. It never logs an event's id. */
export function createOutboxObserver(registry: Registry, log: Log): OutboxObserver {
  const metrics = createPrometheusOutboxObserver(registry);
  const paced = new PacedLog(FAILURE_LOG_INTERVAL_MS);
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
      log.error({ destination, err: error }, 'a receiver ended its subscription: its deliveries stop');
    },
    errorOccurred(error) {
      metrics.errorOccurred(error);
      // While the database is down, every run of every worker fails.
      paced.add(kindOf(error), (failures) =>
        log.error({ err: error, failures }, 'a run of the relay failed'),
      );
    },
  };
}
