import type { Gauge, Registry } from 'prom-client';
import { SharedMetrics } from '../options/shared-metrics.js';
import type { ObservedMethod, ReplayGuardObserver } from './observer.js';

/** The observers whose guards consider their store down, by the gauge that the observers share. */
const openCircuitsByGauge = new WeakMap<Gauge, Set<object>>();

function openCircuitsOf(gauge: Gauge): Set<object> {
  const known = openCircuitsByGauge.get(gauge);
  const circuits = known ?? new Set<object>();
  if (!known) openCircuitsByGauge.set(gauge, circuits);
  return circuits;
}

/**
 * Creates an observer that records the metrics of a guard in a prom-client registry. All metric names begin with
 * `replay_guard_`. Several observers of one registry share their metrics: the guards of one process are counted
 * together.
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createPrometheusObserver(register: Registry): ReplayGuardObserver {
  const metrics = new SharedMetrics(register);
  const byMethod = ['service', 'method'] as const;
  const calls = metrics.counter('replay_guard_calls_total', 'Calls of guarded methods by outcome', [
    ...byMethod,
    'outcome',
  ]);
  const suppressed = metrics.counter(
    'replay_guard_suppressed_side_effects_total',
    'Calls that a stored reply answered without an execution',
    byMethod,
  );
  const takeovers = metrics.counter(
    'replay_guard_takeovers_total',
    'Keys taken over from an execution whose lease had expired',
    byMethod,
  );
  const storeSeconds = metrics.histogram(
    'replay_guard_store_seconds',
    'Duration of operations on the store',
    ['operation'],
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  );
  const storeErrors = metrics.counter('replay_guard_store_errors_total', 'Failed operations on the store');
  const replyBytes = metrics.histogram(
    'replay_guard_reply_bytes',
    'Size of stored replies',
    byMethod,
    [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576],
  );
  const inFlight = metrics.gauge('replay_guard_in_flight', 'Running executions', byMethod);
  const waiting = metrics.gauge(
    'replay_guard_waiting',
    'Calls that wait for another execution of their key or of an earlier sequence',
    byMethod,
  );
  const records = metrics.gauge(
    'replay_guard_records',
    'Estimated number of records in the store at the last purge',
  );
  const purged = metrics.counter('replay_guard_purged_total', 'Deleted expired records');
  const quotaRefusals = metrics.counter(
    'replay_guard_quota_refusals_total',
    'Calls refused because their caller had reached a quota',
    [...byMethod, 'quota'],
  );
  const unguarded = metrics.counter(
    'replay_guard_unguarded_executions_total',
    'Calls executed without a claim because the store was unavailable',
    byMethod,
  );
  const observed = metrics.counter(
    'replay_guard_observed_total',
    'Calls in mode OBSERVE by the outcome that they would have in mode ENFORCE',
    [...byMethod, 'outcome'],
  );
  const afterCommitFailures = metrics.counter(
    'replay_guard_after_commit_failures_total',
    'Actions after a commit that failed',
    byMethod,
  );
  const circuit = metrics.gauge(
    'replay_guard_circuit_open',
    '1 while the store is considered down and calls are refused at once, otherwise 0',
  );
  const openCircuits = openCircuitsOf(circuit);
  const self = {};
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
    waitStarted: (method) => waiting.inc(labels(method)),
    waitEnded: (method) => waiting.dec(labels(method)),
    storeUsed(operation, seconds, error) {
      storeSeconds.observe({ operation }, seconds);
      if (error !== undefined) storeErrors.inc();
    },
    replyStored: (method, bytes) => replyBytes.observe(labels(method), bytes),
    recordsPurged: (count) => purged.inc(count),
    recordsCounted: (count) => records.set(count),
    quotaExceeded: (method, { quota }) => quotaRefusals.inc({ ...labels(method), quota }),
    executedUnguarded: (method) => unguarded.inc(labels(method)),
    callObserved: (method, outcome) => observed.inc({ ...labels(method), outcome }),
    circuitChanged(open) {
      if (open) openCircuits.add(self);
      else openCircuits.delete(self);
      circuit.set(openCircuits.size > 0 ? 1 : 0);
    },
    handlerFailed() {},
    afterCommitFailed: (method) => afterCommitFailures.inc(labels(method)),
  };
}
