import { ok, refusals, unguarded } from '../../table/expected-result.js';
import * as faults from '../../table/faults.js';
import { writesAndWaits } from '../../table/handlers.js';
import { finalState, type Row } from '../../table/row.js';
import { everyKind, type Setup, unaryAndStreaming } from '../../table/setup.js';
import {
  at,
  call,
  calls,
  ends,
  held,
  observedCounts,
  release,
  replays,
  setModes,
  start,
  statesBecome,
} from '../../table/steps.js';

const { fenced, gap, keyExpired, outcomeUnknown, quotaExceeded, replyUnreadable, storeUnavailable } =
  refusals;
const another = { request: { amountMinor: 2 } };
const methods = unaryAndStreaming;
const noWait: Setup = { policy: { waitMs: 0 }, methods };
const named = (producer: string, sequence: number) => ({ sequence: { producer, sequence } });
const series = (executions: number, effects = executions) => finalState('completed', executions, effects);
const inEvery = (mode: 'OFF' | 'OBSERVE' | 'ENFORCE') =>
  Object.fromEntries(everyKind.map((method) => [`/test.v1.LedgerService/${method}`, mode]));

const sameLength: Record<string, faults.Damage> = {
  'a flipped bit': faults.bitFlipped,
  'an unknown version': faults.ofNewerVersion,
};
const otherLength: Record<string, faults.Damage> = {
  'its last byte missing': faults.cutShort,
  'only its version byte': (window) => window.subarray(0, 1),
  'an additional byte': (window) => Buffer.concat([window, Buffer.of(0)]),
};
const unreadable = (title: string, done: faults.Damage): Row => ({
  title: `the stored window has ${title}: calls are refused until a new epoch starts`,
  methods,
  steps: [
    ...[
      ...calls(0, 2),
      faults.damageWindow(done),
      call(at(1), replyUnreadable),
      call(at(3), replyUnreadable),
      call(at(4), gap(3)),
    ],
    ...[call(at(3), replyUnreadable), call(at(0), replyUnreadable), call(at(0, 1)), call(at(1, 1))],
  ],
  final: series(5),
  counts: { executed: 5, refused: 5 },
});

const faulty: Row[] = [
  ...Object.entries(sameLength).map(([title, done]) => unreadable(title, done)),
  ...Object.entries(otherLength).map(
    ([title, done]): Row => ({ ...unreadable(title, done), stores: ['sqlite', 'postgres'] }),
  ),
  {
    title: 'the store is unreachable: calls are refused, and later retries replay or execute',
    methods,
    steps: [
      ...[call(at(0)), faults.storeDown, call(at(0), storeUnavailable), call(at(1), storeUnavailable)],
      ...[faults.storeUp, replays(at(0)), call(at(1))],
    ],
    final: series(2),
    counts: { executed: 2, refused: 2, replayed: 1 },
  },
  {
    title: 'a commit in doubt is refused as unknown, and its retry replays',
    methods: unaryAndStreaming,
    setup: noWait,
    steps: [
      ...[call(at(0)), faults.commitsInDoubt, call(at(1), outcomeUnknown), faults.storeUp],
      ...[
        call(at(1), { ...ok, stored: true, replayed: true }),
        call(at(2)),
        call({ ...at(1), ...another }, refusals.keyReused),
      ],
    ],
    final: series(3),
    counts: { executed: 2, refused: 1, replayed: 1, reused: 1 },
  },
  {
    title: 'a commit in doubt whose record is found at once ends with its reply',
    methods,
    steps: [call(at(0)), faults.commitRepliesLost, call(at(1)), faults.storeUp, replays(at(1)), call(at(2))],
    final: series(3),
    counts: { executed: 3, replayed: 1 },
  },
  {
    title:
      'an erased series: repeated sequences are refused and never execute, and the next sequence executes',
    methods,
    steps: [
      ...[...calls(0, 2), faults.eraseScope(1), call(at(2), keyExpired), call(at(0), keyExpired)],
      ...[faults.eraseScope(0), call(at(3)), replays(at(3)), call(at(2), keyExpired), call(at(5), gap(4))],
      ...[faults.eraseScope(1), call(at(3), keyExpired)],
    ],
    final: series(4),
    counts: { executed: 4, expired: 4, replayed: 1, refused: 1 },
  },
  {
    title: 'a reply larger than the limit is refused, and the refusal is stored',
    methods,
    setup: { policy: { maxReplyBytes: 10 }, methods },
    steps: [call(at(0), refusals.replyTooLarge(10)), replays(at(0)), call(at(1), refusals.replyTooLarge(10))],
    final: series(2, 0),
    counts: { executed: 2, replayed: 1 },
  },
];

const limits: Row[] = [
  {
    title: 'the live-key quota is reached: a known producer counts as one key and continues',
    methods,
    setup: { guard: { quotas: { liveKeysPerScope: 2 } } },
    steps: [
      ...[
        call(),
        call(at(0)),
        call({ key: 'other' }, quotaExceeded('live_keys', 2)),
        call(at(1)),
        call(at(2)),
      ],
      ...[
        call(named('second', 0), quotaExceeded('live_keys', 2)),
        replays(at(1)),
        call(at(0, 1)),
        call(at(9, 1), gap(1)),
      ],
      call(at(3), fenced(1)),
    ],
    final: { records: ['completed', 'completed'], executions: 5, effects: 5 },
    counts: { executed: 5, refused: 4, replayed: 1 },
  },
  {
    title: 'the in-flight quota is reached: calls that wait in their series do not count',
    methods,
    handler: writesAndWaits,
    setup: { guard: { quotas: { inFlightPerScope: 1 } } },
    steps: [
      ...[start(at(0)), held(), start(at(1)), call(named('second', 0), quotaExceeded('in_flight', 1))],
      ...[release(1), ends(), held(2), release(2), ends()],
    ],
    final: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const modes: Row[] = [
  {
    title: 'mode OFF: every call executes unguarded',
    methods,
    setup: { policy: { mode: 'OFF' }, methods },
    steps: [call(at(0), unguarded), call(at(7), unguarded)],
    final: finalState('no record', 2, 2),
    counts: {},
  },
  {
    title:
      'mode OBSERVE: calls are recorded and counted, never refused or replayed, and a later ENFORCE continues the series',
    methods,
    setup: { policy: { mode: 'OBSERVE' }, methods },
    steps: [
      ...[call(at(0), unguarded), statesBecome('completed'), call(at(0), unguarded), call(at(5), unguarded)],
      ...[
        call({ ...at(0), ...another }, unguarded),
        observedCounts({ executed: 1, replayed: 1, reused: 1, refused: 1 }),
      ],
      ...[setModes({ methods: inEvery('ENFORCE') }), replays(at(0)), call(at(1)), call(at(3), gap(2))],
    ],
    final: series(5),
    counts: { bypassed: 4, replayed: 1, executed: 1, refused: 1 },
  },
  {
    title: 'on_store_failure EXECUTE: a sequence that executed unguarded is missing in the series',
    setup: { policy: { onStoreFailure: 'EXECUTE' } },
    steps: [
      ...[
        call(at(0)),
        faults.storeDown,
        call(at(1), unguarded),
        faults.storeUp,
        call(at(2), gap(1)),
        replays(at(0)),
      ],
    ],
    final: series(2),
    counts: { executed: 1, bypassed: 1, refused: 1, replayed: 1 },
  },
];

/** The stored window of a series: damage, failures, limits and modes. */
export const storedSeriesRows: readonly Row[] = [...faulty, ...limits, ...modes];
