import { status } from '@grpc/grpc-js';
import { notStored, refusals, stored } from '../../table/expected-result.js';
import { endsWith, type Script } from '../../table/handlers.js';
import { finalState, noRecord, type Row } from '../../table/row.js';
import { everyKind, unaryAndStreaming } from '../../table/setup.js';
import { advance, at, call, calls, replays } from '../../table/steps.js';

const { fenced, gap, keyExpired, keyReused } = refusals;
const another = { request: { amountMinor: 2 } };
const day = 24 * 60 * 60_000;
const series = (executions: number, effects = executions) => finalState('completed', executions, effects);

const order: Row[] = [
  {
    title: 'the next sequence executes, and a repeated sequence replays',
    methods: everyKind,
    steps: [call(at(0)), replays(at(0)), call(at(1)), call(at(2)), replays(at(1)), replays(at(2))],
    final: series(3),
    counts: { executed: 3, replayed: 3 },
  },
  {
    title: 'a producer may start at sequence 1, and sequence 0 is then expired',
    methods: unaryAndStreaming,
    steps: [...calls(1, 3), replays(at(1)), call(at(0), keyExpired)],
    final: series(3),
    counts: { executed: 3, replayed: 1, expired: 1 },
  },
  {
    title: 'the last five sequences replay, and older sequences are refused and never execute',
    methods: unaryAndStreaming,
    steps: [
      ...[...calls(0, 6), call(at(0), keyExpired), call(at(1), keyExpired)],
      ...[2, 3, 4, 5, 6].map((sequence) => replays(at(sequence))),
      ...[call(at(7)), call(at(2), keyExpired), replays(at(3))],
    ],
    final: series(8),
    counts: { executed: 8, replayed: 6, expired: 3 },
  },
  {
    title: 'a sequence with another payload is refused as reused in the window, and as expired before it',
    methods: unaryAndStreaming,
    steps: [
      ...[
        ...calls(0, 5),
        call({ ...at(1), ...another }, keyReused),
        call({ ...at(5), ...another }, keyReused),
      ],
      ...[call({ ...at(0), ...another }, keyExpired), replays(at(5))],
    ],
    final: series(6),
    counts: { executed: 6, reused: 2, expired: 1, replayed: 1 },
  },
  {
    title: 'a sequence after a gap is refused with the expected sequence',
    methods: unaryAndStreaming,
    steps: [...calls(0, 1), call(at(3), gap(2)), call(at(2n ** 63n - 1n), gap(2)), call(at(2)), call(at(3))],
    final: series(4),
    counts: { executed: 4, refused: 2 },
  },
  {
    title: 'an unknown producer must start its series: a later sequence is refused as a gap',
    methods: unaryAndStreaming,
    steps: [call(at(2), gap()), call(at(7, 3), gap())],
    final: noRecord,
    counts: { refused: 2 },
  },
  {
    title: 'epochs up to 2^63 - 1 are valid',
    steps: [call(at(0, 2n ** 63n - 1n)), call(at(1, 2n ** 63n - 1n)), call(at(2, 1), fenced(2n ** 63n - 1n))],
    final: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const epochs: Row[] = [
  {
    title: 'a new epoch starts a new series, and calls of an older epoch are refused as fenced',
    methods: unaryAndStreaming,
    steps: [
      ...[...calls(0, 2), call(at(0, 1)), call(at(1, 1))],
      ...[call(at(3), fenced(1)), call(at(2, 0), fenced(1)), call(at(0), fenced(1))],
      ...[replays(at(0, 1)), replays(at(1, 1)), call(at(1, 7)), call(at(2, 1), fenced(7))],
    ],
    final: series(6),
    counts: { executed: 6, refused: 4, replayed: 2 },
  },
  {
    title: 'a call without an epoch has epoch 0',
    steps: [call(at(0)), replays(at(0, 0)), call(at(1, 0))],
    final: series(2),
    counts: { executed: 2, replayed: 1 },
  },
  {
    title: 'a new epoch that starts after sequence 1 is refused as a gap',
    methods: unaryAndStreaming,
    steps: [call(at(0)), call(at(2, 1), gap()), call(at(1))],
    final: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const failsAt =
  (execution: number, code: status): Script =>
  (context) =>
    endsWith(context.execution === execution ? code : status.OK)(context);

const endings: Row[] = [
  {
    title: 'a failure that is not stored does not advance the series: its sequence executes again',
    methods: unaryAndStreaming,
    handler: failsAt(2, status.ABORTED),
    steps: [
      ...[call(at(0)), call(at(1), notStored(status.ABORTED)), call(at(2), gap(1)), replays(at(0))],
      ...[call({ ...at(1), ...another }), call(at(2)), replays(at(0))],
    ],
    final: series(4, 3),
    counts: { executed: 3, released: 1, refused: 1, replayed: 2 },
  },
  {
    title: 'under a LEASE, a first sequence with a failure that is not stored leaves an empty series',
    methods: ['Transfer', 'Sweep'],
    handler: endsWith(status.ABORTED),
    steps: [
      call(at(0), notStored(status.ABORTED)),
      call(at(2), gap()),
      call(at(1), notStored(status.ABORTED)),
    ],
    final: finalState('empty', 2, 0),
    counts: { released: 2, refused: 1 },
  },
  {
    title: 'a stored failure advances the series and replays',
    methods: unaryAndStreaming,
    handler: failsAt(2, status.NOT_FOUND),
    steps: [
      ...[call(at(0)), call(at(1), stored(status.NOT_FOUND)), replays(at(1)), call(at(2)), replays(at(1))],
      call({ ...at(1), ...another }, keyReused),
    ],
    final: series(3, 2),
    counts: { executed: 3, replayed: 2, reused: 1 },
  },
];

const expired: Row[] = [
  {
    title: 'the retention of a series starts at its last claim, and an expired series starts again',
    methods: unaryAndStreaming,
    steps: [
      ...[call(at(0)), advance(day - 60_000), call(at(1)), advance(day - 60_000), call(at(2))],
      ...[replays(at(0)), advance(day), call(at(3), gap()), call(at(0))],
    ],
    final: series(4),
    counts: { executed: 4, replayed: 1, refused: 1 },
  },
];

/** The sequences of a producer that execute, and the refusals of all other sequences. */
export const sequenceOrderRows: readonly Row[] = [...order, ...epochs, ...endings, ...expired];
