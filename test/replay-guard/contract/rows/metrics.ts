import { status } from '@grpc/grpc-js';
import { keeps, refusals, releases } from '../table/expected-result.js';
import { erases, storeComes, storeGoes } from '../table/faults.js';
import { endsWith, writesAndWaits } from '../table/handlers.js';
import { everyKind, leaves, once, type Row } from '../table/row.js';
import * as steps from '../table/steps.js';

const { begins, call, ends, endsReplayed, grows, isHeld, letsGo, passes, replays, shows } = steps;
const day = 24 * 60 * 60 * 1_000;
const used = (operation: string) => grows('store_seconds_count', { operation });
const ofMethod = (method: string) => ({ service: 'test.v1.LedgerService', method });

const calls: Row[] = [
  {
    line: 'calls and suppressed side effects are counted by service and method',
    steps: [
      ...[call({ key: 'one' }), replays({ key: 'one' }), replays({ key: 'one' })],
      ...[call({ key: 'one', method: 'Sweep' }), call({ key: null }, refusals.keyMissing)],
      shows('calls_total', { ...ofMethod('Append'), outcome: 'executed' }, 1),
      shows('calls_total', { ...ofMethod('Append'), outcome: 'replayed' }, 2),
      shows('calls_total', { ...ofMethod('Append'), outcome: 'key_missing' }, 1),
      shows('calls_total', { ...ofMethod('Sweep'), outcome: 'executed' }, 1),
      shows('suppressed_side_effects_total', ofMethod('Append'), 2),
      shows('suppressed_side_effects_total', {}, 2),
    ],
    leaves: { records: ['completed', 'completed'], executions: 2, effects: 2 },
    counts: { executed: 2, replayed: 2, key_missing: 1 },
  },
  {
    line: 'in flight while the handler runs, and a duplicate that joined is suppressed as well',
    methods: everyKind,
    handler: writesAndWaits,
    steps: [
      ...[begins(), isHeld(), shows('in_flight', {}, 1), begins(), shows('in_flight', {}, 1)],
      ...[letsGo(), ends(), endsReplayed, shows('in_flight', {}, 0)],
      shows('suppressed_side_effects_total', {}, 1),
    ],
    leaves: once,
    counts: { executed: 1, joined: 1 },
  },
  {
    line: 'a reply that is stored is measured',
    methods: everyKind,
    handler: endsWith(status.OK, { ids: ['x'.repeat(1_000)] }),
    steps: [
      ...[call(), replays(), shows('reply_bytes_count', {}, 1)],
      ...[shows('reply_bytes_bucket', { le: '1024' }, 1), shows('reply_bytes_bucket', { le: '256' }, 0)],
    ],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
];

/** Ends as its execution's number says. */
const endings = [status.OK, status.NOT_FOUND, status.ABORTED] as const;
const store: Row[] = [
  {
    line: 'every operation on the store is timed',
    methods: ['Transfer'],
    setup: {
      policy: { leaseMs: 1_000, waitMs: 10_000 },
      methods: ['Transfer'],
      guard: { quotas: { liveKeysPerScope: 100 } },
      second: {},
    },
    handler: async (handling) => {
      if (handling.execution === 1) await handling.gate.pass();
      return endsWith(endings[handling.execution - 1] ?? status.OK)(handling);
    },
    steps: [
      ...[begins(), isHeld(), used('count'), used('claim'), used('renew'), begins({ second: true })],
      ...[used('find'), letsGo(), ends(), endsReplayed, used('complete')],
      ...[call({ key: 'two' }, keeps(status.NOT_FOUND)), used('fail')],
      ...[call({ key: 'three' }, releases(status.ABORTED)), used('release')],
      ...[erases(2), used('erase'), shows('store_errors_total', {}, 0)],
    ],
    leaves: { records: ['erased', 'erased'], executions: 3, effects: 1 },
    counts: { executed: 2, replayed: 1, released: 1 },
  },
  {
    line: 'failures of the store are counted, open the circuit, and it closes by itself',
    setup: { guard: {} },
    steps: [
      ...[storeGoes, ...Array.from({ length: 5 }, () => call({}, refusals.storeUnavailable))],
      ...[shows('circuit_open', {}, 1), shows('store_errors_total', {}, 5)],
      ...[call({}, refusals.storeUnavailable), shows('store_errors_total', {}, 5)],
      ...[storeComes, shows('circuit_open', {}, 0), call(), replays()],
    ],
    leaves: once,
    counts: { refused: 6, executed: 1, replayed: 1 },
  },
];

/** First of all, while there are no other records. */
const records: Row[] = [
  {
    line: 'records are counted and what is purged is, while calls are served',
    setup: { guard: { purgeEveryMs: 50 } },
    steps: [
      ...[call({ key: 'one' }), call({ key: 'two' }), grows('records'), passes(day)],
      ...[shows('purged_total', {}, 2), used('purge'), call({ key: 'one' }), shows('purged_total', {}, 2)],
    ],
    leaves: leaves('completed', 3, 3),
    counts: { executed: 3 },
  },
];

/** Section 10, what the metrics say. RecordingObserver are also counted in every row of the other tables. */
export const metricRows: readonly Row[] = [...records, ...calls, ...store];
