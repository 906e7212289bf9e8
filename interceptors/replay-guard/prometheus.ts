import type { Registry } from 'prom-client';
import { version } from '../context/copies.js';
import { OldestExecutions } from '../options/oldest-executions.js';
import { SharedMetrics, sharedBy, startAtZero } from '../options/shared-metrics.js';
import { REASONS } from '../protocol/reasons.js';
import {
  callOutcomes,
  type ObservedMethod,
  quotas,
  type ReplayGuardObserver,
  storeOperations,
} from './observer.js';

export { createServerMetrics, type ServerMetrics } from './server-metrics.js';

/** The buckets of the durations of handlers and waits, in seconds. */
const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** The buckets of the duration of an operation on the store, in seconds. */
const STORE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Creates an observer that records the metrics of a guard in a prom-client registry. All metric names begin with
 * `replay_guard_`. A counter starts at 0 when its method is protected. Several observers of one registry share their
 * metrics: the guards of one process are counted together.
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createPrometheusObserver(register: Registry): ReplayGuardObserver {
  const metrics = new SharedMetrics(register);
  const byMethod = ['service', 'method'] as const;
  const byOutcome = [...byMethod, 'outcome'] as const;
  const calls = metrics.counter('replay_guard_calls_total', 'Calls of guarded methods by outcome', byOutcome);
  const refusals = metrics.counter('replay_guard_refusals_total', 'Refused calls by reason', [
    ...byMethod,
    'reason',
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
  const handlerSeconds = metrics.histogram(
    'replay_guard_handler_duration_seconds',
    'Duration of handlers under a claim, without the commit',
    byMethod,
    CALL_BUCKETS,
  );
  const handlerFailures = metrics.counter(
    'replay_guard_handler_failures_total',
    'Handlers that threw or rejected, and failures of the guard itself',
    byMethod,
  );
  const storeSeconds = metrics.histogram(
    'replay_guard_store_duration_seconds',
    'Duration of operations on the store',
    ['operation'],
    STORE_BUCKETS,
  );
  const storeErrors = metrics.counter('replay_guard_store_errors_total', 'Failed operations on the store', [
    'operation',
  ]);
  const replyBytes = metrics.histogram(
    'replay_guard_reply_bytes',
    'Size of stored replies',
    byMethod,
    [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576],
  );
  const inFlight = metrics.gauge('replay_guard_in_flight', 'Running executions', byMethod);
  const oldestAge = metrics.gauge(
    'replay_guard_oldest_execution_age_seconds',
    'How long the oldest running execution has run so far, 0 if none runs',
    byMethod,
    {
      aggregator: 'max',
      collect: (gauge) => {
        for (const oldest of sharedBy<OldestExecutions>(gauge))
          for (const [method, seconds] of oldest.ages()) gauge.set(labels(method), seconds);
      },
    },
  );
  /** The executions of the guards of all observers of the registry. */
  const [oldest = new OldestExecutions()] = sharedBy<OldestExecutions>(oldestAge);
  sharedBy(oldestAge).add(oldest);
  const waiting = metrics.gauge(
    'replay_guard_waiting',
    'Calls that wait for another execution of their key or of an earlier sequence',
    byMethod,
  );
  const waitingLimit = metrics.gauge(
    'replay_guard_waiting_limit',
    'How many calls of all callers may wait at the same time',
  );
  const waitSeconds = metrics.histogram(
    'replay_guard_wait_duration_seconds',
    'How long calls waited for another execution',
    byMethod,
    CALL_BUCKETS,
  );
  const records = metrics.gauge(
    'replay_guard_records',
    'Estimated number of records in the store at the last purge',
    [],
    { aggregator: 'max' },
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
    byOutcome,
  );
  const afterCommitFailures = metrics.counter(
    'replay_guard_after_commit_failures_total',
    'Actions after a commit that failed',
    byMethod,
  );
  const circuit = metrics.gauge(
    'replay_guard_circuit_open',
    '1 while the store is considered down and calls are refused at once, otherwise 0',
    [],
    { aggregator: 'max' },
  );
  metrics
    .gauge('replay_guard_build_info', 'The version of the package', ['version'], { aggregator: 'first' })
    .set({ version }, 1);
  for (const operation of storeOperations) {
    startAtZero(storeSeconds, { operation });
    startAtZero(storeErrors, { operation });
  }
  /** The observers whose guards consider their store down. */
  const openCircuits = sharedBy<object>(circuit);
  const self = {};
  const showCircuit = (open: boolean) => {
    if (open) openCircuits.add(self);
    else openCircuits.delete(self);
    circuit.set(openCircuits.size > 0 ? 1 : 0);
  };
  let openGuards = 0;
  const labels = ({ service, method }: ObservedMethod) => ({ service, method });

  return {
    guardCreated(guard) {
      openGuards++;
      waitingLimit.inc(guard.waiting);
      oldest.addGuard(guard);
    },
    guardClosed(guard) {
      openGuards--;
      waitingLimit.dec(guard.waiting);
      oldest.removeGuard(guard);
      if (openGuards === 0) showCircuit(false);
    },
    methodProtected(method) {
      oldest.addMethod(method);
      const of = labels(method);
      for (const outcome of callOutcomes)
        for (const counter of [calls, observed]) startAtZero(counter, { ...of, outcome });
      for (const reason of Object.values(REASONS)) startAtZero(refusals, { ...of, reason });
      for (const quota of quotas) startAtZero(quotaRefusals, { ...of, quota });
      for (const metric of [suppressed, takeovers, handlerFailures, unguarded, afterCommitFailures])
        startAtZero(metric, of);
      for (const metric of [inFlight, waiting, handlerSeconds, waitSeconds, replyBytes])
        startAtZero(metric, of);
    },
    callEnded(method, outcome) {
      calls.inc({ ...labels(method), outcome });
      if (outcome === 'replayed' || outcome === 'joined') suppressed.inc(labels(method));
    },
    callRefused: (method, { reason }) => refusals.inc({ ...labels(method), reason }),
    executionStarted(method, takenOver) {
      inFlight.inc(labels(method));
      if (takenOver) takeovers.inc(labels(method));
    },
    executionEnded(method, seconds) {
      inFlight.dec(labels(method));
      handlerSeconds.observe(labels(method), seconds);
    },
    waitStarted: (method) => waiting.inc(labels(method)),
    waitEnded(method, seconds) {
      waiting.dec(labels(method));
      waitSeconds.observe(labels(method), seconds);
    },
    storeUsed(operation, seconds, error) {
      storeSeconds.observe({ operation }, seconds);
      if (error !== undefined) storeErrors.inc({ operation });
    },
    replyStored: (method, bytes) => replyBytes.observe(labels(method), bytes),
    recordsPurged: (count) => purged.inc(count),
    recordsCounted: (count) => records.set(count),
    quotaExceeded: (method, { quota }) => quotaRefusals.inc({ ...labels(method), quota }),
    executedUnguarded: (method) => unguarded.inc(labels(method)),
    callObserved: (method, outcome) => observed.inc({ ...labels(method), outcome }),
    circuitChanged: showCircuit,
    handlerFailed: (method) => handlerFailures.inc(labels(method)),
    afterCommitFailed: (method) => afterCommitFailures.inc(labels(method)),
  };
}
