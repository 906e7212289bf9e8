import { status } from '@grpc/grpc-js';
import { notStored, refusals, stored } from '../table/expected-result.js';
import { eraseScope, storeDown, storeUp } from '../table/faults.js';
import { endsWith, writesAndWaits } from '../table/handlers.js';
import { executedOnce, finalState, type Row } from '../table/row.js';
import { everyKind } from '../table/setup.js';
import * as steps from '../table/steps.js';

const { start, call, ends, endsReplayed, metricGrows, held, release, advance, replays, metricIs } = steps;
const day = 24 * 60 * 60 * 1_000;
const used = (operation: string) => metricGrows('store_duration_seconds_count', { operation });
const ofMethod = (method: string) => ({ service: 'test.v1.LedgerService', method });

const calls: Row[] = [
  {
    title: 'calls and suppressed side effects are counted by service and method',
    steps: [
      ...[call({ key: 'one' }), replays({ key: 'one' }), replays({ key: 'one' })],
      ...[call({ key: 'one', method: 'Sweep' }), call({ key: null }, refusals.keyMissing)],
      metricIs('calls_total', { ...ofMethod('Append'), outcome: 'executed' }, 1),
      metricIs('calls_total', { ...ofMethod('Append'), outcome: 'replayed' }, 2),
      metricIs('calls_total', { ...ofMethod('Append'), outcome: 'key_missing' }, 1),
      metricIs('calls_total', { ...ofMethod('Sweep'), outcome: 'executed' }, 1),
      metricIs('suppressed_side_effects_total', ofMethod('Append'), 2),
      metricIs('suppressed_side_effects_total', {}, 2),
    ],
    final: { records: ['completed', 'completed'], executions: 2, effects: 2 },
    counts: { executed: 2, replayed: 2, key_missing: 1 },
  },
  {
    title:
      'in_flight counts a call while its handler runs, and a joined duplicate counts as a suppressed side effect',
    methods: everyKind,
    handler: writesAndWaits,
    steps: [
      ...[start(), held(), metricIs('in_flight', {}, 1), start(), metricIs('in_flight', {}, 1)],
      ...[release(), ends(), endsReplayed, metricIs('in_flight', {}, 0)],
      metricIs('handler_duration_seconds_count', {}, 1),
      metricIs('wait_duration_seconds_count', {}, 1),
      metricIs('suppressed_side_effects_total', {}, 1),
    ],
    final: executedOnce,
    counts: { executed: 1, joined: 1 },
  },
  {
    title: 'the size of a stored reply is measured',
    methods: everyKind,
    handler: endsWith(status.OK, { ids: ['x'.repeat(1_000)] }),
    steps: [
      ...[call(), replays(), metricIs('reply_bytes_count', {}, 1)],
      ...[
        metricIs('reply_bytes_bucket', { le: '1024' }, 1),
        metricIs('reply_bytes_bucket', { le: '256' }, 0),
      ],
    ],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
];

/** The status codes of the first, second and third execution. */
const endings = [status.OK, status.NOT_FOUND, status.ABORTED] as const;
const store: Row[] = [
  {
    title: 'every operation on the store is timed',
    methods: ['Transfer'],
    setup: {
      policy: { leaseMs: 1_000, waitMs: 10_000 },
      methods: ['Transfer'],
      guard: { quotas: { liveKeysPerScope: 100 } },
      second: {},
    },
    handler: async (context) => {
      if (context.execution === 1) await context.gate.pass();
      return endsWith(endings[context.execution - 1] ?? status.OK)(context);
    },
    steps: [
      ...[start(), held(), used('count'), used('claim'), used('renew'), start({ second: true })],
      ...[used('find'), release(), ends(), endsReplayed, used('complete')],
      ...[call({ key: 'two' }, stored(status.NOT_FOUND)), used('fail')],
      ...[call({ key: 'three' }, notStored(status.ABORTED)), used('release')],
      ...[eraseScope(2), used('erase'), metricIs('store_errors_total', {}, 0)],
    ],
    final: { records: ['erased', 'erased'], executions: 3, effects: 1 },
    counts: { executed: 2, replayed: 1, released: 1 },
  },
  {
    title: 'failures of the store are counted and open the circuit, which closes when the store works again',
    setup: { guard: {} },
    steps: [
      ...[storeDown, ...Array.from({ length: 5 }, () => call({}, refusals.storeUnavailable))],
      ...[metricIs('circuit_open', {}, 1), metricIs('store_errors_total', { operation: 'claim' }, 5)],
      ...[call({}, refusals.storeUnavailable), metricIs('store_errors_total', {}, 5)],
      ...[storeUp, metricIs('circuit_open', {}, 0), call(), replays()],
    ],
    final: executedOnce,
    counts: { refused: 6, executed: 1, replayed: 1 },
  },
];

/** These rows run first, while the store has no other records. */
const records: Row[] = [
  {
    title: 'records and purged records are counted while calls are served',
    setup: { guard: { purgeEveryMs: 50 } },
    steps: [
      ...[call({ key: 'one' }), call({ key: 'two' }), metricGrows('records'), advance(day)],
      ...[
        metricIs('purged_total', {}, 2),
        used('purge'),
        call({ key: 'one' }),
        metricIs('purged_total', {}, 2),
      ],
    ],
    final: finalState('completed', 3, 3),
    counts: { executed: 3 },
  },
];

/** The metrics of the guard. Every row of the other tables also asserts its counts. */
export const metricRows: readonly Row[] = [...records, ...calls, ...store];
