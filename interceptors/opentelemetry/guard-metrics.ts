import { assertKnownOptions } from '../options/known-options.js';
import { OldestExecutions } from '../options/oldest-executions.js';
import { REASONS } from '../protocol/reasons.js';
import type { ObservedMethod, ReplayGuardObserver } from '../replay-guard/index.js';
import { callOutcomes, quotas, storeOperations } from './attribute-values.js';
import { fullNameOf } from './call-tracing.js';
import { CALL_BUCKETS, instruments, type OpenTelemetryObserverOptions } from './instruments.js';

/** The buckets of the duration of an operation on the store, in seconds. */
const STORE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SIZE_BUCKETS = [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576];

/**
 * Creates an observer that keeps the metrics of a guard with the API of OpenTelemetry. The metrics are those of
 * `createPrometheusObserver`. All names begin with `replay_guard.`. Attributes are methods and small enumerations only.
 * @throws TypeError when an option is unknown
 */
export function createOpenTelemetryObserver(
  options: OpenTelemetryObserverOptions = {},
): Partial<ReplayGuardObserver> {
  assertKnownOptions<OpenTelemetryObserverOptions>('createOpenTelemetryObserver', options, {
    meterProvider: true,
  });
  const make = instruments(options, 'replay_guard.');
  const calls = make.counter('calls', '{call}', 'Calls of guarded methods by outcome');
  const refusals = make.counter('refusals', '{call}', 'Refused calls by reason');
  const suppressed = make.counter('suppressed_side_effects', '{call}', 'Calls that a stored reply answered');
  const takeovers = make.counter('takeovers', '{execution}', 'Keys taken over after an expired lease');
  const handlerSeconds = make.histogram(
    'handler.duration',
    's',
    'Duration of handlers under a claim',
    CALL_BUCKETS,
  );
  const handlerFailures = make.counter('handler.failures', '{failure}', 'Handlers that threw or rejected');
  const storeSeconds = make.histogram(
    'store.duration',
    's',
    'Duration of operations on the store',
    STORE_BUCKETS,
  );
  const storeErrors = make.counter('store.errors', '{error}', 'Failed operations on the store');
  const replySize = make.histogram('reply.size', 'By', 'Size of stored replies', SIZE_BUCKETS);
  const inFlight = make.upDown('in_flight', '{execution}', 'Running executions');
  const oldest = new OldestExecutions();
  make.observable('oldest_execution_age', 's', 'How long the oldest execution has run so far', (result) => {
    for (const [method, seconds] of oldest.ages()) result.observe(seconds, attributesOf(method));
  });
  const waiting = make.upDown('waiting', '{call}', 'Calls that wait for another execution');
  const waitingLimit = make.upDown('waiting_limit', '{call}', 'How many calls may wait at the same time');
  const waitSeconds = make.histogram('wait.duration', 's', 'How long calls waited', CALL_BUCKETS);
  const records = make.gauge('records', '{record}', 'Estimated number of records at the last purge');
  const purged = make.counter('purged', '{record}', 'Deleted expired records');
  const quotaRefusals = make.counter('quota_refusals', '{call}', 'Calls refused because of a quota');
  const unguarded = make.counter(
    'unguarded_executions',
    '{call}',
    'Calls executed without a claim in an outage',
  );
  const observed = make.counter(
    'observed',
    '{call}',
    'Calls in mode OBSERVE by their outcome in mode ENFORCE',
  );
  const afterCommit = make.counter(
    'after_commit_failures',
    '{failure}',
    'Actions after a commit that failed',
  );
  const openCircuits = make.upDown('open_circuits', '{circuit}', 'Guards that consider their store down');
  let isOpen = false;
  const countCircuit = (open: boolean) => {
    if (open !== isOpen) openCircuits.add(open ? 1 : -1);
    isOpen = open;
  };
  let openGuards = 0;

  return {
    guardCreated(guard) {
      openGuards++;
      oldest.addGuard(guard);
      waitingLimit.add(guard.waiting);
      openCircuits.add(0);
      purged.start({});
      for (const operation of storeOperations) storeErrors.start(ofStore(operation));
    },
    guardClosed(guard) {
      openGuards--;
      oldest.removeGuard(guard);
      waitingLimit.add(-guard.waiting);
      if (openGuards === 0) countCircuit(false);
    },
    methodProtected(method) {
      const of = attributesOf(method);
      for (const counter of [suppressed, takeovers, handlerFailures, unguarded, afterCommit])
        counter.start(of);
      for (const gauge of [inFlight, waiting]) gauge.add(0, of);
      for (const outcome of callOutcomes)
        for (const counter of [calls, observed]) counter.start(withOutcome(method, outcome));
      for (const reason of Object.values(REASONS)) refusals.start(withReason(method, reason));
      for (const quota of quotas) quotaRefusals.start(withQuota(method, quota));
      oldest.addMethod(method);
    },
    callEnded(method, outcome) {
      calls.add(withOutcome(method, outcome));
      if (outcome === 'replayed' || outcome === 'joined') suppressed.add(attributesOf(method));
    },
    callRefused: (method, { reason }) => refusals.add(withReason(method, reason)),
    executionStarted(method, takenOver) {
      inFlight.add(1, attributesOf(method));
      if (takenOver) takeovers.add(attributesOf(method));
    },
    executionEnded(method, seconds) {
      inFlight.add(-1, attributesOf(method));
      handlerSeconds.record(seconds, attributesOf(method));
    },
    waitStarted: (method) => waiting.add(1, attributesOf(method)),
    waitEnded(method, seconds) {
      waiting.add(-1, attributesOf(method));
      waitSeconds.record(seconds, attributesOf(method));
    },
    storeUsed(operation, seconds, error) {
      const of = ofStore(operation);
      storeSeconds.record(seconds, of);
      if (error !== undefined) storeErrors.add(of);
    },
    replyStored: (method, bytes) => replySize.record(bytes, attributesOf(method)),
    recordsPurged: (count) => purged.add({}, count),
    recordsCounted: (count) => records.record(count),
    quotaExceeded: (method, { quota }) => quotaRefusals.add(withQuota(method, quota)),
    executedUnguarded: (method) => unguarded.add(attributesOf(method)),
    callObserved: (method, outcome) => observed.add(withOutcome(method, outcome)),
    circuitChanged: countCircuit,
    handlerFailed: (method) => handlerFailures.add(attributesOf(method)),
    afterCommitFailed: (method) => afterCommit.add(attributesOf(method)),
  };
}

function attributesOf(method: ObservedMethod) {
  return { 'rpc.method': fullNameOf(method) };
}

function withOutcome(method: ObservedMethod, outcome: string) {
  return { ...attributesOf(method), 'replay_guard.outcome': outcome };
}

function withReason(method: ObservedMethod, reason: string) {
  return { ...attributesOf(method), 'replay_guard.refusal.reason': reason };
}

function withQuota(method: ObservedMethod, quota: string) {
  return { ...attributesOf(method), 'replay_guard.quota': quota };
}

function ofStore(operation: string) {
  return { 'replay_guard.store.operation': operation };
}
