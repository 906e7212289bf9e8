import type { ReplayGuardObserver } from 'grpc-replay-guard';
import type { ConsumerObserver } from 'grpc-replay-guard/consumer';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { Registry } from 'prom-client';
import type { Log } from '../platform/log.js';

/** Counts what the guard does, and logs what goes wrong in it: its callers learn only that it did. */
export function createObserver(registry: Registry, log: Log): ReplayGuardObserver {
  const metrics = createPrometheusObserver(registry);
  return {
    ...metrics,
    storeUsed(operation, seconds, error) {
      metrics.storeUsed(operation, seconds, error);
      if (error !== undefined) log.warn({ err: error, operation }, 'the store of the guard failed');
    },
    circuitChanged(open) {
      metrics.circuitChanged(open);
      if (open) log.error('the store of the guard is down: calls are refused until it answers a probe');
      else log.info('the store of the guard answers again');
    },
    handlerFailed(method, error) {
      metrics.handlerFailed(method, error);
      log.error({ err: error, ...method }, 'a guarded call failed unexpectedly');
    },
  };
}

/** Counts what becomes of messages, and logs what goes wrong behind their backs. */
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
