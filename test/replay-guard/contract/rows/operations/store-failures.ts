import { engines } from '../../../../helpers/databases/engines.js';
import { ok, refusals } from '../../table/expected-result.js';
import * as faults from '../../table/faults.js';
import { type Script, writes } from '../../table/handlers.js';
import { executedOnce, finalState, type Row, type Step } from '../../table/row.js';
import { everyKind, type Setup } from '../../table/setup.js';
import { advance, call, ends, held, release, replays, start } from '../../table/steps.js';

const underLease = ['Transfer', 'Sweep'] as const;
/** Two servers on the same data. Their duplicates do not wait for a running execution. */
const noWait: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };

/** Waits at the gate before the write. */
const waitsAndWrites: Script = async ({ write, respond, gate }) => {
  await gate.pass();
  await write();
  respond();
};

const takenOver: Step[] = [
  ...[start(), held(), advance(30_001), call({ second: true })],
  ...[release(), ends(refusals.leaseLost), replays()],
];

/** The refusals after a failure of the store or the loss of a lease. */
export const storeFailureRows: readonly Row[] = [
  {
    title: 'the store is unreachable before the claim: the call is refused, and a retry executes',
    methods: everyKind,
    steps: [faults.storeDown, call({}, refusals.storeUnavailable), faults.storeUp, call()],
    final: executedOnce,
    counts: { refused: 1, executed: 1 },
  },
  {
    title: 'the store with the reply is unreachable: the call is refused, and a retry replays',
    methods: everyKind,
    steps: [call(), faults.storeDown, call({}, refusals.storeUnavailable), faults.storeUp, replays()],
    final: executedOnce,
    counts: { refused: 1, executed: 1, replayed: 1 },
  },
  {
    title:
      'the lease is lost before the commit: the call is refused, and a retry replays the other execution',
    methods: underLease,
    handler: ({ execution, respond, gate }) =>
      execution === 1 ? gate.pass().then(() => respond()) : respond(),
    setup: noWait,
    steps: takenOver,
    final: finalState('completed', 2, 0),
    counts: { executed: 1, refused: 1, replayed: 1 },
  },
  {
    title: 'the lease is lost before the first write: the execution commits nothing',
    methods: underLease,
    stores: engines,
    handler: (context) => (context.execution === 1 ? waitsAndWrites(context) : writes(context)),
    setup: noWait,
    steps: takenOver,
    final: finalState('completed', 2, 1),
    counts: { executed: 1, released: 1, replayed: 1 },
  },
  {
    title: 'the result of the commit is lost: the outcome is unknown, and a retry replays',
    methods: ['Append', 'Sweep'],
    setup: noWait,
    steps: [
      ...[faults.commitsInDoubt, call({}, refusals.outcomeUnknown)],
      ...[faults.storeUp, call({}, { ...ok, replayed: true })],
    ],
    final: executedOnce,
    counts: { refused: 1, replayed: 1 },
  },
  {
    title: 'the result of the commit is lost, but the record is found at once: the call ends with its reply',
    methods: everyKind,
    steps: [faults.commitRepliesLost, call(), faults.storeUp, replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
];
