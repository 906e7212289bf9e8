import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ObservedMethod, ReplayGuardObserver } from './observer.js';

/**
 * Creates an observer that records the metrics of a guard in a prom-client registry. All metric names begin with
 * `replay_guard_`.
 * @throws Error when the registry already has metrics with these names
 */
export function createPrometheusObserver(register: Registry): ReplayGuardObserver {
  const registers = [register];
  const byMethod = ['service', 'method'] as const;
  const calls = new Counter({
    name: 'replay_guard_calls_total',
    help: 'Calls of guarded methods by outcome',
    labelNames: [...byMethod, 'outcome'],
    registers,
  });
  const suppressed = new Counter({
    name: 'replay_guard_suppressed_side_effects_total',
    help: 'Calls that a stored reply answered without an execution',
    labelNames: byMethod,
    registers,
  });
  const takeovers = new Counter({
    name: 'replay_guard_takeovers_total',
    help: 'Keys taken over from an execution whose lease had expired',
    labelNames: byMethod,
    registers,
  });
  const storeSeconds = new Histogram({
    name: 'replay_guard_store_seconds',
    help: 'Duration of operations on the store',
    labelNames: ['operation'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const storeErrors = new Counter({
    name: 'replay_guard_store_errors_total',
    help: 'Failed operations on the store',
    registers,
  });
  const replyBytes = new Histogram({
    name: 'replay_guard_reply_bytes',
    help: 'Size of stored replies',
    labelNames: byMethod,
    buckets: [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576],
    registers,
  });
  const inFlight = new Gauge({
    name: 'replay_guard_in_flight',
    help: 'Running executions',
    labelNames: byMethod,
    registers,
  });
  const records = new Gauge({
    name: 'replay_guard_records',
    help: 'Estimated number of records in the store at the last purge',
    registers,
  });
  const purged = new Counter({
    name: 'replay_guard_purged_total',
    help: 'Deleted expired records',
    registers,
  });
  const unguarded = new Counter({
    name: 'replay_guard_unguarded_executions_total',
    help: 'Calls executed without a claim because the store was unavailable',
    labelNames: byMethod,
    registers,
  });
  const observed = new Counter({
    name: 'replay_guard_observed_total',
    help: 'Calls in mode OBSERVE by the outcome that they would have in mode ENFORCE',
    labelNames: [...byMethod, 'outcome'],
    registers,
  });
  const circuit = new Gauge({
    name: 'replay_guard_circuit_open',
    help: '1 while the store is considered down and calls are refused at once, otherwise 0',
    registers,
  });
  const labels = ({ service, method }: ObservedMethod) => ({ service, method });

  return {
    callEnded(method, outcome) {
      calls.inc({ ...labels(method), outcome });
      if (outcome === 'replayed' || outcome === 'joined') suppressed.inc(labels(method));
    },
    executionStarted(method, takenOver) {
      inFlight.inc(labels(method));
      if (takenOver) takeovers.inc(labels(method));
    },
    executionEnded: (method) => inFlight.dec(labels(method)),
    storeUsed(operation, seconds, error) {
      storeSeconds.observe({ operation }, seconds);
      if (error !== undefined) storeErrors.inc();
    },
    replyStored: (method, bytes) => replyBytes.observe(labels(method), bytes),
    recordsPurged: (count) => purged.inc(count),
    recordsCounted: (count) => records.set(count),
    executedUnguarded: (method) => unguarded.inc(labels(method)),
    callObserved: (method, outcome) => observed.inc({ ...labels(method), outcome }),
    circuitChanged: (open) => circuit.set(open ? 1 : 0),
    handlerFailed() {},
  };
}
