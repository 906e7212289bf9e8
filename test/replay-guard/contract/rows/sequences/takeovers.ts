import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import { type Script, writesAndWaits } from '../../table/handlers.js';
import { finalState, type Row } from '../../table/row.js';
import { everyKind, type Setup, unaryAndStreaming } from '../../table/setup.js';
import { advance, at, call, ends, held, metricIs, release, replays, start } from '../../table/steps.js';

const { fenced, gap, inProgress, keyReused, leaseLost } = refusals;
const another = { request: { amountMinor: 2 } };
const underLease = ['Transfer'] as const;
const secondServer: Setup = { second: {} };
/** Two servers on the same data. Their calls do not wait for a running execution. */
const noWait: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };
const lease = 30_000;
const series = (executions: number, effects = executions) => finalState('completed', executions, effects);
const atSecond = (sequence: number, epoch?: number) => ({ ...at(sequence, epoch), second: true });

/** The second execution waits at the gate and does not write. */
const secondWaits: Script = async ({ execution, gate, write, respond }) => {
  if (execution === 2) await gate.pass();
  else await write();
  respond();
};

/** The second execution waits at the gate before its write. */
const secondIsLate: Script = async ({ execution, gate, write, respond }) => {
  if (execution === 2) await gate.pass();
  await write();
  respond();
};

const abandoned: Row[] = [
  {
    title:
      'the lease of an execution expires: the next sequence is a gap until a takeover, and the old execution commits nothing',
    methods: underLease,
    handler: secondWaits,
    setup: noWait,
    steps: [
      ...[call(at(0)), start(at(1)), held(2), advance(lease), call(atSecond(2), gap(1))],
      ...[replays(atSecond(0)), call({ ...atSecond(1), ...another }, keyReused), call(atSecond(1))],
      ...[metricIs('takeovers_total', {}, 1), call(atSecond(2)), release(2), ends(leaseLost), replays(at(1))],
    ],
    final: { ...series(4), effects: 3 },
    counts: { executed: 3, refused: 2, replayed: 2, reused: 1 },
  },
  {
    title: 'an execution that lost its lease to a takeover cannot write',
    methods: underLease,
    stores: engines,
    handler: secondIsLate,
    setup: noWait,
    steps: [
      ...[call(at(0)), start(at(1)), held(2), advance(lease), call(atSecond(1)), release(2), ends(leaseLost)],
      ...[replays(at(1)), call(at(2))],
    ],
    final: { ...series(4), effects: 3 },
    counts: { executed: 3, replayed: 1, released: 1 },
  },
];

const newEpochs: Row[] = [
  {
    title: 'a new epoch waits for the running execution of the old epoch',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    setup: secondServer,
    steps: [
      ...[release(1), call(at(0)), start(at(1)), held(2), start(atSecond(0, 1)), release(2), ends()],
      ...[held(3), release(3), ends(), call(at(1), fenced(1)), replays(at(0, 1))],
    ],
    final: series(3),
    counts: { executed: 3, refused: 1, replayed: 1 },
  },
  {
    title: 'a new epoch is refused as in progress when its wait ends',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    setup: noWait,
    steps: [
      ...[release(1), call(at(0)), start(at(1)), held(2), call(atSecond(0, 1), inProgress)],
      ...[release(2), ends(), release(3), call(atSecond(0, 1))],
    ],
    final: series(3),
    counts: { executed: 3, in_progress: 1 },
  },
  {
    title: 'a new epoch ends an execution of the old epoch whose lease has expired',
    methods: underLease,
    handler: secondWaits,
    setup: noWait,
    steps: [
      ...[call(at(0)), start(at(1)), held(2), advance(lease), call(atSecond(1, 1)), release(2)],
      ...[ends(leaseLost), call(at(1), fenced(1)), call(at(2, 1))],
    ],
    final: { ...series(4), effects: 3 },
    counts: { executed: 3, refused: 2 },
  },
];

/** The takeover of an expired execution, and a new epoch during an execution. */
export const sequenceTakeoverRows: readonly Row[] = [...abandoned, ...newEpochs];
