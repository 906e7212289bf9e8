import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import { type Script, writesAndWaits } from '../../table/handlers.js';
import { declare, everyKind, leaves, once, type Row, type Setup } from '../../table/row.js';
import {
  begins,
  call,
  ends,
  endsReplayed,
  holds,
  isHeld,
  letsGo,
  passes,
  replays,
  shows,
} from '../../table/steps.js';

const transaction: Setup = {
  policy: { atomicity: 'TRANSACTION' },
  declared: declare('atomicity: ATOMICITY_TRANSACTION'),
};
const lease: Setup = { policy: { atomicity: 'LEASE' }, declared: declare('atomicity: ATOMICITY_LEASE') };
const atomicity = [
  { line: 'by default TRANSACTION: nothing is to be seen before the reply', setup: {}, held: holds() },
  { line: 'TRANSACTION: nothing is to be seen before the reply', setup: transaction, held: holds() },
  { line: 'LEASE: the claim is to be seen, the writes are not', setup: lease, held: holds('in progress') },
].map(
  ({ line, setup, held }): Row => ({
    line: `atomicity: ${line}`,
    places: engines,
    setup,
    handler: writesAndWaits,
    steps: [begins(), isHeld(), held, letsGo(), ends(), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  }),
);

/** Holds the first execution; it writes nothing. */
const firstWaits: Script = async ({ execution, gate, write, say }) => {
  if (execution === 1) await gate.pass();
  else await write();
  say();
};
const leases = [
  { seconds: 30, line: 'by default 30 seconds', fields: '', policy: {} },
  { seconds: 20, line: '20 seconds', fields: ', lease: {seconds: 20}', policy: { leaseMs: 20_000 } },
].map(
  ({ seconds, line, fields, policy }): Row => ({
    line: `lease: ${line}, then another server takes over`,
    handler: firstWaits,
    setup: {
      policy: { atomicity: 'LEASE', waitMs: 0, ...policy },
      declared: declare(`atomicity: ATOMICITY_LEASE, wait: {seconds: 0}${fields}`),
      second: {},
    },
    steps: [
      ...[begins(), isHeld(), passes((seconds - 5) * 1_000), call({ second: true }, refusals.inProgress)],
      ...[passes(5_000), call({ second: true }), shows('takeovers_total', { method: 'Append' }, 1)],
      ...[letsGo(), ends(refusals.leaseLost), replays()],
    ],
    leaves: leaves('completed', 2, 1),
    counts: { in_progress: 1, executed: 1, refused: 1, replayed: 1 },
  }),
);

const inTime = [
  { line: 'by default 5 seconds', setup: {} },
  { line: '7 seconds', setup: { policy: { waitMs: 7_000 }, declared: declare('wait: {seconds: 7}') } },
].map(
  ({ line, setup }): Row => ({
    line: `wait: ${line}, in which the first execution ends`,
    setup,
    handler: writesAndWaits,
    steps: [begins(), isHeld(), begins(), begins(), letsGo(), ends(), endsReplayed, endsReplayed],
    leaves: once,
    counts: { executed: 1, joined: 2 },
  }),
);
const tooLate = [
  { line: '0: not at all', setup: { policy: { waitMs: 0 }, declared: declare('wait: {seconds: 0}') } },
  {
    line: '50 milliseconds, and the first execution takes longer',
    setup: { policy: { waitMs: 50 }, declared: declare('wait: {nanos: 50000000}') },
  },
].map(
  ({ line, setup }): Row => ({
    line: `wait: ${line}`,
    setup,
    handler: writesAndWaits,
    steps: [begins(), isHeld(), call({}, refusals.inProgress), letsGo(), ends(), replays()],
    leaves: once,
    counts: { executed: 1, in_progress: 1, replayed: 1 },
  }),
);
const elsewhere: Row = {
  line: 'wait: at another server too',
  methods: everyKind,
  setup: { second: {} },
  handler: writesAndWaits,
  steps: [begins(), isHeld(), begins({ second: true }), letsGo(), ends(), endsReplayed],
  leaves: once,
  counts: { executed: 1, replayed: 1 },
};

const neverEnds: Script = async (handling) => {
  await handling.write();
  if (handling.execution === 1) await handling.gate.pass();
  handling.say();
};
const longest = { leaseMs: 1_000, maxExecutionMs: 1_000 };
const declaredLongest = 'lease: {seconds: 1}, max_execution: {seconds: 1}';
const maxExecution = [
  {
    line: 'in a TRANSACTION',
    methods: ['Append'] as const,
    setup: { policy: longest, declared: declare(declaredLongest) },
  },
  {
    line: 'under a LEASE, streaming',
    methods: ['Sweep'] as const,
    setup: {
      declared: declare(`${declaredLongest}, atomicity: ATOMICITY_LEASE`),
      methods: ['Sweep'] as const,
    },
  },
].map(
  ({ line, methods, setup }): Row => ({
    line: `max_execution: a handler that never ends ${line}`,
    methods,
    setup,
    handler: neverEnds,
    steps: [call({}, refusals.leaseLost), call(), letsGo(), replays()],
    leaves: leaves('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  }),
);

/** Section 4, `atomicity`, `lease`, `wait` and `max_execution`. */
export const executionRows: readonly Row[] = [
  ...atomicity,
  ...leases,
  ...inTime,
  ...tooLate,
  elsewhere,
  ...maxExecution,
];
