import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import { type Script, writesAndWaits } from '../../table/handlers.js';
import { executedOnce, finalState, type Row } from '../../table/row.js';
import { declare, everyKind, type Setup } from '../../table/setup.js';
import {
  advance,
  call,
  ends,
  endsReplayed,
  held,
  metricIs,
  release,
  replays,
  start,
  statesAre,
} from '../../table/steps.js';

const transaction: Setup = {
  policy: { atomicity: 'TRANSACTION' },
  declared: declare('atomicity: ATOMICITY_TRANSACTION'),
};
const lease: Setup = { policy: { atomicity: 'LEASE' }, declared: declare('atomicity: ATOMICITY_LEASE') };
const atomicity = [
  {
    title: 'TRANSACTION is the default: other servers see nothing before the reply',
    setup: {},
    during: statesAre(),
  },
  {
    title: 'TRANSACTION: other servers see nothing before the reply',
    setup: transaction,
    during: statesAre(),
  },
  {
    title: 'LEASE: before the reply, other servers see the claim but no writes',
    setup: lease,
    during: statesAre('in progress'),
  },
].map(
  ({ title, setup, during }): Row => ({
    title: `atomicity: ${title}`,
    stores: engines,
    setup,
    handler: writesAndWaits,
    steps: [start(), held(), during, release(), ends(), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  }),
);

/** The first execution waits at the gate and does not write. Later executions write. */
const firstWaits: Script = async ({ execution, gate, write, respond }) => {
  if (execution === 1) await gate.pass();
  else await write();
  respond();
};
const leases = [
  { seconds: 30, title: '30 seconds by default', fields: '', policy: {} },
  { seconds: 20, title: '20 seconds', fields: ', lease: {seconds: 20}', policy: { leaseMs: 20_000 } },
].map(
  ({ seconds, title, fields, policy }): Row => ({
    title: `lease (${title}): the lease expires, and another server takes over`,
    handler: firstWaits,
    setup: {
      policy: { atomicity: 'LEASE', waitMs: 0, ...policy },
      declared: declare(`atomicity: ATOMICITY_LEASE, wait: {seconds: 0}${fields}`),
      second: {},
    },
    steps: [
      ...[start(), held(), advance((seconds - 5) * 1_000), call({ second: true }, refusals.inProgress)],
      ...[advance(5_000), call({ second: true }), metricIs('takeovers_total', { method: 'Append' }, 1)],
      ...[release(), ends(refusals.leaseLost), replays()],
    ],
    final: finalState('completed', 2, 1),
    counts: { in_progress: 1, executed: 1, refused: 1, replayed: 1 },
  }),
);

const waitSuffices = [
  { title: '5 seconds by default', setup: {} },
  { title: '7 seconds', setup: { policy: { waitMs: 7_000 }, declared: declare('wait: {seconds: 7}') } },
].map(
  ({ title, setup }): Row => ({
    title: `wait (${title}): the execution ends during the wait, and its duplicates replay`,
    setup,
    handler: writesAndWaits,
    steps: [start(), held(), start(), start(), release(), ends(), endsReplayed, endsReplayed],
    final: executedOnce,
    counts: { executed: 1, joined: 2 },
  }),
);
const waitExpires = [
  { title: '0 seconds', setup: { policy: { waitMs: 0 }, declared: declare('wait: {seconds: 0}') } },
  {
    title: '50 milliseconds',
    setup: { policy: { waitMs: 50 }, declared: declare('wait: {nanos: 50000000}') },
  },
].map(
  ({ title, setup }): Row => ({
    title: `wait (${title}): the execution takes longer, and its duplicate is refused as in progress`,
    setup,
    handler: writesAndWaits,
    steps: [start(), held(), call({}, refusals.inProgress), release(), ends(), replays()],
    final: executedOnce,
    counts: { executed: 1, in_progress: 1, replayed: 1 },
  }),
);
const waitAtSecond: Row = {
  title: 'wait: a duplicate on another server waits, then replays',
  methods: everyKind,
  setup: { second: {} },
  handler: writesAndWaits,
  steps: [start(), held(), start({ second: true }), release(), ends(), endsReplayed],
  final: executedOnce,
  counts: { executed: 1, replayed: 1 },
};

const neverEnds: Script = async (context) => {
  await context.write();
  if (context.execution === 1) await context.gate.pass();
  context.respond();
};
const limits = { leaseMs: 1_000, maxExecutionMs: 1_000 };
const declaredLimits = 'lease: {seconds: 1}, max_execution: {seconds: 1}';
const maxExecution = [
  {
    title: 'unary in a TRANSACTION',
    methods: ['Append'] as const,
    setup: { policy: limits, declared: declare(declaredLimits) },
  },
  {
    title: 'streaming under a LEASE',
    methods: ['Sweep'] as const,
    setup: {
      declared: declare(`${declaredLimits}, atomicity: ATOMICITY_LEASE`),
      methods: ['Sweep'] as const,
    },
  },
].map(
  ({ title, methods, setup }): Row => ({
    title: `max_execution: a handler that never ends (${title}) loses its claim, and a retry executes`,
    methods,
    setup,
    handler: neverEnds,
    steps: [call({}, refusals.leaseLost), call(), release(), replays()],
    final: finalState('completed', 2, 1),
    counts: { released: 1, executed: 1, replayed: 1 },
  }),
);

/** The policy fields `atomicity`, `lease`, `wait` and `max_execution`. */
export const executionRows: readonly Row[] = [
  ...atomicity,
  ...leases,
  ...waitSuffices,
  ...waitExpires,
  waitAtSecond,
  ...maxExecution,
];
