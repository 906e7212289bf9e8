import { ok, refusals, unguarded } from '../../table/expected-result.js';
import * as faults from '../../table/faults.js';
import { writesAndWaits } from '../../table/handlers.js';
import { eachSort, everyKind, leaves, type Row, type Setup } from '../../table/row.js';
import {
  at,
  begins,
  call,
  calls,
  ends,
  isHeld,
  letsGo,
  replays,
  setsModes,
  settles,
  wouldHaveBeen,
} from '../../table/steps.js';

const { fenced, gap, keyExpired, outcomeUnknown, quotaExceeded, replyUnreadable, storeUnavailable } =
  refusals;
const another = { request: { amountMinor: 2 } };
const methods = eachSort;
const impatient: Setup = { policy: { waitMs: 0 }, methods };
const named = (producer: string, sequence: number) => ({ sequence: { producer, sequence } });
const series = (executions: number, effects = executions) => leaves('completed', executions, effects);
const inEvery = (mode: 'OFF' | 'OBSERVE' | 'ENFORCE') =>
  Object.fromEntries(everyKind.map((method) => [`/test.v1.LedgerService/${method}`, mode]));

const damage: Record<string, faults.Damage> = {
  'a bit is flipped': faults.bitFlipped,
  'a newer version': faults.ofNewerVersion,
};
const cut: Record<string, faults.Damage> = {
  'cut short': faults.cutShort,
  'cut to its version': (window) => window.subarray(0, 1),
  'too long': (window) => Buffer.concat([window, Buffer.of(0)]),
};
const unreadable = (line: string, done: faults.Damage): Row => ({
  line: `what is kept is corrupt (${line}): nothing is executed until a new epoch`,
  methods,
  steps: [
    ...[
      ...calls(0, 2),
      faults.damagesWindow(done),
      call(at(1), replyUnreadable),
      call(at(3), replyUnreadable),
      call(at(4), gap(3)),
    ],
    ...[call(at(3), replyUnreadable), call(at(0), replyUnreadable), call(at(0, 1)), call(at(1, 1))],
  ],
  leaves: series(5),
  counts: { executed: 5, refused: 5 },
});

const faulty: Row[] = [
  ...Object.entries(damage).map(([line, done]) => unreadable(line, done)),
  ...Object.entries(cut).map(
    ([line, done]): Row => ({ ...unreadable(line, done), places: ['sqlite', 'postgres'] }),
  ),
  {
    line: 'the store is unreachable',
    methods,
    steps: [
      ...[call(at(0)), faults.storeGoes, call(at(0), storeUnavailable), call(at(1), storeUnavailable)],
      ...[faults.storeComes, replays(at(0)), call(at(1))],
    ],
    leaves: series(2),
    counts: { executed: 2, refused: 2, replayed: 1 },
  },
  {
    line: 'a commit in doubt stays claimed or committed: a retry finds out',
    methods: eachSort,
    setup: impatient,
    steps: [
      ...[call(at(0)), faults.commitsAreInDoubt, call(at(1), outcomeUnknown), faults.storeComes],
      ...[
        call(at(1), { ...ok, kept: true, replayed: true }),
        call(at(2)),
        call({ ...at(1), ...another }, refusals.keyReused),
      ],
    ],
    leaves: series(3),
    counts: { executed: 2, refused: 1, replayed: 1, reused: 1 },
  },
  {
    line: 'a commit in doubt that is found out at once',
    methods,
    steps: [call(at(0)), faults.answersGetLost, call(at(1)), faults.storeComes, replays(at(1)), call(at(2))],
    leaves: series(3),
    counts: { executed: 3, replayed: 1 },
  },
  {
    line: 'erased: repeats are refused and never executed, and the producer goes on',
    methods,
    steps: [
      ...[...calls(0, 2), faults.erases(1), call(at(2), keyExpired), call(at(0), keyExpired)],
      ...[faults.erases(0), call(at(3)), replays(at(3)), call(at(2), keyExpired), call(at(5), gap(4))],
      ...[faults.erases(1), call(at(3), keyExpired)],
    ],
    leaves: series(4),
    counts: { executed: 4, expired: 4, replayed: 1, refused: 1 },
  },
  {
    line: 'a reply that is larger than the limit is kept as a failure',
    methods,
    setup: { policy: { maxReplyBytes: 10 }, methods },
    steps: [call(at(0), refusals.replyTooLarge(10)), replays(at(0)), call(at(1), refusals.replyTooLarge(10))],
    leaves: series(2, 0),
    counts: { executed: 2, replayed: 1 },
  },
];

const limits: Row[] = [
  {
    line: 'too many live keys: a producer is one, and goes on',
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
    leaves: { records: ['completed', 'completed'], executions: 5, effects: 5 },
    counts: { executed: 5, refused: 4, replayed: 1 },
  },
  {
    line: 'too many in flight: calls that wait for their turn are not',
    methods,
    handler: writesAndWaits,
    setup: { guard: { quotas: { inFlightPerScope: 1 } } },
    steps: [
      ...[begins(at(0)), isHeld(), begins(at(1)), call(named('second', 0), quotaExceeded('in_flight', 1))],
      ...[letsGo(1), ends(), isHeld(2), letsGo(2), ends()],
    ],
    leaves: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const modes: Row[] = [
  {
    line: 'OFF: every call passes',
    methods,
    setup: { policy: { mode: 'OFF' }, methods },
    steps: [call(at(0), unguarded), call(at(7), unguarded)],
    leaves: leaves('nothing', 2, 2),
    counts: {},
  },
  {
    line: 'OBSERVE: records and counts, never refuses or replays; ENFORCE goes on from there',
    methods,
    setup: { policy: { mode: 'OBSERVE' }, methods },
    steps: [
      ...[call(at(0), unguarded), settles('completed'), call(at(0), unguarded), call(at(5), unguarded)],
      ...[
        call({ ...at(0), ...another }, unguarded),
        wouldHaveBeen({ executed: 1, replayed: 1, reused: 1, refused: 1 }),
      ],
      ...[setsModes({ methods: inEvery('ENFORCE') }), replays(at(0)), call(at(1)), call(at(3), gap(2))],
    ],
    leaves: series(5),
    counts: { bypassed: 4, replayed: 1, executed: 1, refused: 1 },
  },
  {
    line: 'a store that fails where availability comes first: what was executed unguarded is missing',
    setup: { policy: { onStoreFailure: 'EXECUTE' } },
    steps: [
      ...[
        call(at(0)),
        faults.storeGoes,
        call(at(1), unguarded),
        faults.storeComes,
        call(at(2), gap(1)),
        replays(at(0)),
      ],
    ],
    leaves: series(2),
    counts: { executed: 1, bypassed: 1, refused: 1, replayed: 1 },
  },
];

/** What is kept of a series, and what becomes of it where something is in the way. */
export const sequenceKeepingRows: readonly Row[] = [...faulty, ...limits, ...modes];
