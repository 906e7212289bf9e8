import { engines } from '../../../../helpers/databases/engines.js';
import { ok, refusals } from '../../table/expected-result.js';
import * as faults from '../../table/faults.js';
import { type Script, writes } from '../../table/handlers.js';
import { everyKind, leaves, once, type Row, type Setup, type Step } from '../../table/row.js';
import { begins, call, ends, isHeld, letsGo, passes, replays } from '../../table/steps.js';

const underLease = ['Transfer', 'Sweep'] as const;
/** Two servers on the same data whose duplicates do not wait. */
const impatient: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };

/** An execution that has not yet written when the test holds it. */
const waitsAndWrites: Script = async ({ write, say, gate }) => {
  await gate.pass();
  await write();
  say();
};

const takenOver: Step[] = [
  ...[begins(), isHeld(), passes(30_001), call({ second: true })],
  ...[letsGo(), ends(refusals.leaseLost), replays()],
];

/** Section 2, where the store or the lease is lost. */
export const storeRefusalRows: readonly Row[] = [
  {
    line: 'the store is unreachable before the claim',
    methods: everyKind,
    steps: [faults.storeGoes, call({}, refusals.storeUnavailable), faults.storeComes, call()],
    leaves: once,
    counts: { refused: 1, executed: 1 },
  },
  {
    line: 'the store is unreachable where it would have the reply',
    methods: everyKind,
    steps: [call(), faults.storeGoes, call({}, refusals.storeUnavailable), faults.storeComes, replays()],
    leaves: once,
    counts: { refused: 1, executed: 1, replayed: 1 },
  },
  {
    line: 'the lease is lost before the commit',
    methods: underLease,
    handler: ({ execution, say, gate }) => (execution === 1 ? gate.pass().then(() => say()) : say()),
    setup: impatient,
    steps: takenOver,
    leaves: leaves('completed', 2, 0),
    counts: { executed: 1, refused: 1, replayed: 1 },
  },
  {
    line: 'the lease is lost before the first write: nothing of it is committed',
    methods: underLease,
    places: engines,
    handler: (handling) => (handling.execution === 1 ? waitsAndWrites(handling) : writes(handling)),
    setup: impatient,
    steps: takenOver,
    leaves: leaves('completed', 2, 1),
    counts: { executed: 1, released: 1, replayed: 1 },
  },
  {
    line: 'the commit was sent and its answer lost: a retry finds out',
    methods: ['Append', 'Sweep'],
    setup: impatient,
    steps: [
      ...[faults.commitsAreInDoubt, call({}, refusals.outcomeUnknown)],
      ...[faults.storeComes, call({}, { ...ok, replayed: true })],
    ],
    leaves: once,
    counts: { refused: 1, replayed: 1 },
  },
  {
    line: 'the commit was sent, its answer lost, and what became of it found out at once',
    methods: everyKind,
    steps: [faults.answersGetLost, call(), faults.storeComes, replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
];
