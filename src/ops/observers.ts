import type { ReplayGuardObserver } from 'grpc-replay-guard';
import type { ConsumerObserver } from 'grpc-replay-guard/consumer';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import { createLogObserver, type FailureLog } from 'grpc-replay-guard/logging';
import type { OutboxObserver } from 'grpc-replay-guard/outbox';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { Registry } from 'prom-client';
import type { Log } from '../platform/log.js';

/** The observers of this process, for the options of the guard, the relay and the consumer. */
export interface Observers {
  readonly guard: readonly Partial<ReplayGuardObserver>[];
  readonly outbox: readonly Partial<OutboxObserver>[];
  readonly consumer: readonly Partial<ConsumerObserver>[];
  /** Logs the failures of the other parts of this process. */
  readonly failures: FailureLog;
}

/**
 * Makes the observers, which count events in the registry and log them.
 * @param consumers the names of the consumers, whose counters start at 0
 */
export function createObservers(registry: Registry, log: Log, consumers: readonly string[]): Observers {
  const lines = createLogObserver({ logger: log });
  return {
    guard: [createPrometheusObserver(registry), lines],
    outbox: [createPrometheusOutboxObserver(registry), lines],
    consumer: [createPrometheusConsumerObserver(registry, { consumers }), lines],
    failures: lines.failures,
  };
}
