import { engines } from '../../../../helpers/databases/engines.js';
import { refusals } from '../../table/expected-result.js';
import { writesAndWaits } from '../../table/handlers.js';
import { finalState, type Row } from '../../table/row.js';
import { everyKind, type Setup, unaryAndStreaming } from '../../table/setup.js';
import { at, call, ends, endsReplayed, held, release, replays, start } from '../../table/steps.js';

const { gap, inProgress, keyReused } = refusals;
const another = { request: { amountMinor: 2 } };
const underLease = ['Transfer'] as const;
const inTransaction = ['Settle'] as const;
const secondServer: Setup = { second: {} };
/** Two servers on the same data. Their calls do not wait for a running execution. */
const noWait: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };
const series = (executions: number, effects = executions) => finalState('completed', executions, effects);
const atSecond = (sequence: number, epoch?: number) => ({ ...at(sequence, epoch), second: true });

const pipelined: Row[] = [
  {
    title: 'concurrent calls of one producer execute one after another, in order',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    steps: [
      ...[0, 1, 2, 3, 4].map((sequence) => start(at(sequence))),
      ...[1, 2, 3, 4, 5].flatMap((execution) => [held(execution), release(execution), ends()]),
      replays(at(0)),
    ],
    final: series(5),
    counts: { executed: 5, replayed: 1 },
  },
  {
    title: 'a call fails: the calls that wait for its sequence are refused as gaps',
    methods: unaryAndStreaming,
    handler: async ({ execution, gate, respond, write }) => {
      await gate.pass();
      await write();
      respond(execution === 2 ? { ids: [], error: { code: 10, details: 'aborted' } } : {});
    },
    steps: [
      ...[release(1), call(at(0)), start(at(1)), held(2), start(at(2)), start(at(3)), release(2)],
      ...[ends({ code: 10 }), ends(gap(1)), ends(gap(1)), release(3), call(at(1))],
    ],
    final: series(3, 2),
    counts: { executed: 2, released: 1, refused: 2 },
  },
  {
    title:
      'the first call fails: the waiting sequence 1 is refused as a gap, although a series may start at 1',
    methods: unaryAndStreaming,
    handler: async ({ execution, gate, respond, write }) => {
      await gate.pass();
      await write();
      respond(execution === 1 ? { ids: [], error: { code: 10, details: 'aborted' } } : {});
    },
    steps: [
      ...[start(at(0)), held(), start(at(1)), release(1), ends({ code: 10 }), ends(gap(0))],
      ...[release(2), call(at(0)), release(3), call(at(1))],
    ],
    final: series(3, 2),
    counts: { executed: 2, released: 1, refused: 1 },
  },
  {
    title: 'a duplicate of a running sequence joins, and with another payload is refused as reused',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    steps: [
      ...[start(at(0)), held(), start(at(0)), call({ ...at(0), ...another }, keyReused)],
      ...[release(), ends(), endsReplayed],
    ],
    final: series(1),
    counts: { executed: 1, joined: 1, reused: 1 },
  },
  {
    title: 'the next sequence waits on another server, too, then executes',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    setup: secondServer,
    steps: [
      ...[release(1), call(at(0)), start(at(1)), held(2), start(atSecond(1)), start(atSecond(2))],
      ...[release(2), ends(), endsReplayed, held(3), release(3), ends(), replays(atSecond(0))],
    ],
    final: series(3),
    counts: { executed: 3, replayed: 2 },
  },
  {
    title: 'the next sequence is refused as in progress when its wait ends, on both servers',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    setup: noWait,
    steps: [
      ...[release(1), call(at(0)), start(at(1)), held(2), call(at(2), inProgress)],
      ...[call(atSecond(1), inProgress), call(atSecond(2), inProgress), replays(atSecond(0))],
      ...[release(2), ends(), release(3), call(atSecond(2))],
    ],
    final: series(3),
    counts: { executed: 3, in_progress: 3, replayed: 1 },
  },
  {
    title:
      'the sequence after a running first call is refused as in progress on another server, which cannot read the claim',
    methods: unaryAndStreaming,
    handler: writesAndWaits,
    setup: noWait,
    steps: [
      ...[start(at(0)), held(), call(atSecond(1), inProgress), call(atSecond(0), inProgress)],
      ...[release(1), ends(), release(2), call(atSecond(1))],
    ],
    final: series(2),
    counts: { executed: 2, in_progress: 2 },
  },
  {
    title: 'a sequence after the next one does not wait and is refused as a gap',
    methods: underLease,
    handler: writesAndWaits,
    setup: noWait,
    steps: [
      ...[release(1), call(at(0)), start(at(1)), held(2), call(atSecond(3), gap(2))],
      ...[release(2), ends()],
    ],
    final: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const hiddenReuse: Row = {
  title:
    'an open transaction hides its payload: another server refuses another payload as in progress, and as reused after the commit',
  methods: inTransaction,
  stores: engines,
  handler: writesAndWaits,
  setup: noWait,
  steps: [
    ...[release(1), call(at(0)), start(at(1)), held(2), call({ ...atSecond(1), ...another }, inProgress)],
    ...[release(2), ends(), call({ ...atSecond(1), ...another }, keyReused)],
  ],
  final: series(2),
  counts: { executed: 2, in_progress: 1, reused: 1 },
};

/** The order of concurrent calls of one producer. */
export const sequenceConcurrencyRows: readonly Row[] = [...pipelined, hiddenReuse];
