import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import { type Script, writesAndWaits } from '../../table/handlers.js';
import { eachSort, everyKind, leaves, type Row, type Setup } from '../../table/row.js';
import {
  at,
  begins,
  call,
  ends,
  endsReplayed,
  isHeld,
  letsGo,
  passes,
  replays,
  shows,
} from '../../table/steps.js';

const { fenced, gap, inProgress, keyReused, leaseLost } = refusals;
const another = { request: { amountMinor: 2 } };
const underLease = ['Transfer'] as const;
const inTransaction = ['Settle'] as const;
const two: Setup = { second: {} };
/** Two servers on the same data whose calls do not wait. */
const impatient: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };
const lease = 30_000;
const series = (executions: number, effects = executions) => leaves('completed', executions, effects);
const elsewhere = (sequence: number, epoch?: number) => ({ ...at(sequence, epoch), second: true });

/** Holds the second execution, which writes nothing. */
const secondWaits: Script = async ({ execution, gate, write, say }) => {
  if (execution === 2) await gate.pass();
  else await write();
  say();
};

/** Holds the second execution, which writes only after that. */
const secondIsLate: Script = async ({ execution, gate, write, say }) => {
  if (execution === 2) await gate.pass();
  await write();
  say();
};

const turns: Row[] = [
  {
    line: 'calls that do not wait for each other run one after another',
    methods: eachSort,
    handler: writesAndWaits,
    steps: [
      ...[0, 1, 2, 3, 4].map((sequence) => begins(at(sequence))),
      ...[1, 2, 3, 4, 5].flatMap((execution) => [isHeld(execution), letsGo(execution), ends()]),
      replays(at(0)),
    ],
    leaves: series(5),
    counts: { executed: 5, replayed: 1 },
  },
  {
    line: 'where one of them fails those behind it are gaps',
    methods: eachSort,
    handler: async ({ execution, gate, say, write }) => {
      await gate.pass();
      await write();
      say(execution === 2 ? { ids: [], error: { code: 10, details: 'aborted' } } : {});
    },
    steps: [
      ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), begins(at(2)), begins(at(3)), letsGo(2)],
      ...[ends({ code: 10 }), ends(gap(1)), ends(gap(1)), letsGo(3), call(at(1))],
    ],
    leaves: series(3, 2),
    counts: { executed: 2, released: 1, refused: 2 },
  },
  {
    line: 'where the very first fails the one behind it is a gap, though it could be a first one itself',
    methods: eachSort,
    handler: async ({ execution, gate, say, write }) => {
      await gate.pass();
      await write();
      say(execution === 1 ? { ids: [], error: { code: 10, details: 'aborted' } } : {});
    },
    steps: [
      ...[begins(at(0)), isHeld(), begins(at(1)), letsGo(1), ends({ code: 10 }), ends(gap(0))],
      ...[letsGo(2), call(at(0)), letsGo(3), call(at(1))],
    ],
    leaves: series(3, 2),
    counts: { executed: 2, released: 1, refused: 1 },
  },
  {
    line: 'a repeat of what is executed joins, with another payload it is reused',
    methods: eachSort,
    handler: writesAndWaits,
    steps: [
      ...[begins(at(0)), isHeld(), begins(at(0)), call({ ...at(0), ...another }, keyReused)],
      ...[letsGo(), ends(), endsReplayed],
    ],
    leaves: series(1),
    counts: { executed: 1, joined: 1, reused: 1 },
  },
  {
    line: 'the next one waits at another server too',
    methods: eachSort,
    handler: writesAndWaits,
    setup: two,
    steps: [
      ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), begins(elsewhere(1)), begins(elsewhere(2))],
      ...[letsGo(2), ends(), endsReplayed, isHeld(3), letsGo(3), ends(), replays(elsewhere(0))],
    ],
    leaves: series(3),
    counts: { executed: 3, replayed: 2 },
  },
  {
    line: 'the next one is in progress where the wait is over, here and at another server',
    methods: eachSort,
    handler: writesAndWaits,
    setup: impatient,
    steps: [
      ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), call(at(2), inProgress)],
      ...[call(elsewhere(1), inProgress), call(elsewhere(2), inProgress), replays(elsewhere(0))],
      ...[letsGo(2), ends(), letsGo(3), call(elsewhere(2))],
    ],
    leaves: series(3),
    counts: { executed: 3, in_progress: 3, replayed: 1 },
  },
  {
    line: 'so is the one after the very first, which nobody can see yet',
    methods: eachSort,
    handler: writesAndWaits,
    setup: impatient,
    steps: [
      ...[begins(at(0)), isHeld(), call(elsewhere(1), inProgress), call(elsewhere(0), inProgress)],
      ...[letsGo(1), ends(), letsGo(2), call(elsewhere(1))],
    ],
    leaves: series(2),
    counts: { executed: 2, in_progress: 2 },
  },
  {
    line: 'a call behind the next one does not wait',
    methods: underLease,
    handler: writesAndWaits,
    setup: impatient,
    steps: [
      ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), call(elsewhere(3), gap(2))],
      ...[letsGo(2), ends()],
    ],
    leaves: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const leftBehind: Row[] = [
  {
    line: 'an execution that was left behind is a gap until it is taken over; what wakes up late commits nothing',
    methods: underLease,
    handler: secondWaits,
    setup: impatient,
    steps: [
      ...[call(at(0)), begins(at(1)), isHeld(2), passes(lease), call(elsewhere(2), gap(1))],
      ...[replays(elsewhere(0)), call({ ...elsewhere(1), ...another }, keyReused), call(elsewhere(1))],
      ...[shows('takeovers_total', {}, 1), call(elsewhere(2)), letsGo(2), ends(leaseLost), replays(at(1))],
    ],
    leaves: { ...series(4), effects: 3 },
    counts: { executed: 3, refused: 2, replayed: 2, reused: 1 },
  },
  {
    line: 'an execution that was left behind and taken over cannot write any more',
    methods: underLease,
    places: engines,
    handler: secondIsLate,
    setup: impatient,
    steps: [
      ...[
        call(at(0)),
        begins(at(1)),
        isHeld(2),
        passes(lease),
        call(elsewhere(1)),
        letsGo(2),
        ends(leaseLost),
      ],
      ...[replays(at(1)), call(at(2))],
    ],
    leaves: { ...series(4), effects: 3 },
    counts: { executed: 3, replayed: 1, released: 1 },
  },
];

const newEpochs: Row[] = [
  {
    line: 'a new epoch waits for what the old one executes',
    methods: eachSort,
    handler: writesAndWaits,
    setup: two,
    steps: [
      ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), begins(elsewhere(0, 1)), letsGo(2), ends()],
      ...[isHeld(3), letsGo(3), ends(), call(at(1), fenced(1)), replays(at(0, 1))],
    ],
    leaves: series(3),
    counts: { executed: 3, refused: 1, replayed: 1 },
  },
  {
    line: 'a new epoch is in progress where the wait is over',
    methods: eachSort,
    handler: writesAndWaits,
    setup: impatient,
    steps: [
      ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), call(elsewhere(0, 1), inProgress)],
      ...[letsGo(2), ends(), letsGo(3), call(elsewhere(0, 1))],
    ],
    leaves: series(3),
    counts: { executed: 3, in_progress: 1 },
  },
  {
    line: 'a new epoch ends an execution that was left behind',
    methods: underLease,
    handler: secondWaits,
    setup: impatient,
    steps: [
      ...[call(at(0)), begins(at(1)), isHeld(2), passes(lease), call(elsewhere(1, 1)), letsGo(2)],
      ...[ends(leaseLost), call(at(1), fenced(1)), call(at(2, 1))],
    ],
    leaves: { ...series(4), effects: 3 },
    counts: { executed: 3, refused: 2 },
  },
];

const hiddenReuse: Row = {
  line: 'an open transaction hides from another server of what payload its sequence is',
  methods: inTransaction,
  places: engines,
  handler: writesAndWaits,
  setup: impatient,
  steps: [
    ...[letsGo(1), call(at(0)), begins(at(1)), isHeld(2), call({ ...elsewhere(1), ...another }, inProgress)],
    ...[letsGo(2), ends(), call({ ...elsewhere(1), ...another }, keyReused)],
  ],
  leaves: series(2),
  counts: { executed: 2, in_progress: 1, reused: 1 },
};

/** Whose turn it is while a sequence of the producer is executed. */
export const sequenceTurnRows: readonly Row[] = [...turns, hiddenReuse, ...leftBehind, ...newEpochs];
