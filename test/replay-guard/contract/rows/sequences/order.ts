import { status } from '@grpc/grpc-js';
import { keeps, refusals, releases } from '../../table/expected-result.js';
import { endsWith, type Script } from '../../table/handlers.js';
import { eachSort, everyKind, leaves, nothing, type Row } from '../../table/row.js';
import { at, call, calls, passes, replays } from '../../table/steps.js';

const { fenced, gap, keyExpired, keyReused } = refusals;
const another = { request: { amountMinor: 2 } };
const day = 24 * 60 * 60_000;
const series = (executions: number, effects = executions) => leaves('completed', executions, effects);

const order: Row[] = [
  {
    line: 'each next one executes, and a repeat replays',
    methods: everyKind,
    steps: [call(at(0)), replays(at(0)), call(at(1)), call(at(2)), replays(at(1)), replays(at(2))],
    leaves: series(3),
    counts: { executed: 3, replayed: 3 },
  },
  {
    line: 'a producer may count from 1',
    methods: eachSort,
    steps: [...calls(1, 3), replays(at(1)), call(at(0), keyExpired)],
    leaves: series(3),
    counts: { executed: 3, replayed: 1, expired: 1 },
  },
  {
    line: 'the last five are replayed, older ones refused and never executed',
    methods: eachSort,
    steps: [
      ...[...calls(0, 6), call(at(0), keyExpired), call(at(1), keyExpired)],
      ...[2, 3, 4, 5, 6].map((sequence) => replays(at(sequence))),
      ...[call(at(7)), call(at(2), keyExpired), replays(at(3))],
    ],
    leaves: series(8),
    counts: { executed: 8, replayed: 6, expired: 3 },
  },
  {
    line: 'with another payload: reused; past the window expired, whatever the payload',
    methods: eachSort,
    steps: [
      ...[
        ...calls(0, 5),
        call({ ...at(1), ...another }, keyReused),
        call({ ...at(5), ...another }, keyReused),
      ],
      ...[call({ ...at(0), ...another }, keyExpired), replays(at(5))],
    ],
    leaves: series(6),
    counts: { executed: 6, reused: 2, expired: 1, replayed: 1 },
  },
  {
    line: 'a gap names the next one',
    methods: eachSort,
    steps: [...calls(0, 1), call(at(3), gap(2)), call(at(2n ** 63n - 1n), gap(2)), call(at(2)), call(at(3))],
    leaves: series(4),
    counts: { executed: 4, refused: 2 },
  },
  {
    line: 'a producer that is not known has to begin',
    methods: eachSort,
    steps: [call(at(2), gap()), call(at(7, 3), gap())],
    leaves: nothing,
    counts: { refused: 2 },
  },
  {
    line: 'the numbers go up to 2^63 - 1',
    steps: [call(at(0, 2n ** 63n - 1n)), call(at(1, 2n ** 63n - 1n)), call(at(2, 1), fenced(2n ** 63n - 1n))],
    leaves: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const epochs: Row[] = [
  {
    line: 'a new epoch begins anew and shuts the old one out',
    methods: eachSort,
    steps: [
      ...[...calls(0, 2), call(at(0, 1)), call(at(1, 1))],
      ...[call(at(3), fenced(1)), call(at(2, 0), fenced(1)), call(at(0), fenced(1))],
      ...[replays(at(0, 1)), replays(at(1, 1)), call(at(1, 7)), call(at(2, 1), fenced(7))],
    ],
    leaves: series(6),
    counts: { executed: 6, refused: 4, replayed: 2 },
  },
  {
    line: 'no epoch is epoch 0',
    steps: [call(at(0)), replays(at(0, 0)), call(at(1, 0))],
    leaves: series(2),
    counts: { executed: 2, replayed: 1 },
  },
  {
    line: 'a new epoch does not begin later than with 1',
    methods: eachSort,
    steps: [call(at(0)), call(at(2, 1), gap()), call(at(1))],
    leaves: series(2),
    counts: { executed: 2, refused: 1 },
  },
];

const failsAt =
  (execution: number, code: status): Script =>
  (handling) =>
    endsWith(handling.execution === execution ? code : status.OK)(handling);

const endings: Row[] = [
  {
    line: 'a failure that is not kept leaves the sequence where it was',
    methods: eachSort,
    handler: failsAt(2, status.ABORTED),
    steps: [
      ...[call(at(0)), call(at(1), releases(status.ABORTED)), call(at(2), gap(1)), replays(at(0))],
      ...[call({ ...at(1), ...another }), call(at(2)), replays(at(0))],
    ],
    leaves: series(4, 3),
    counts: { executed: 3, released: 1, refused: 1, replayed: 2 },
  },
  {
    line: 'so does one at the first sequence: under a LEASE what is left of it is empty',
    methods: ['Transfer', 'Sweep'],
    handler: endsWith(status.ABORTED),
    steps: [call(at(0), releases(status.ABORTED)), call(at(2), gap()), call(at(1), releases(status.ABORTED))],
    leaves: leaves('empty', 2, 0),
    counts: { released: 2, refused: 1 },
  },
  {
    line: 'a failure that is kept is a reply like any other',
    methods: eachSort,
    handler: failsAt(2, status.NOT_FOUND),
    steps: [
      ...[call(at(0)), call(at(1), keeps(status.NOT_FOUND)), replays(at(1)), call(at(2)), replays(at(1))],
      call({ ...at(1), ...another }, keyReused),
    ],
    leaves: series(3, 2),
    counts: { executed: 3, replayed: 2, reused: 1 },
  },
];

const forgotten: Row[] = [
  {
    line: 'retained from the last claim on, and then forgotten',
    methods: eachSort,
    steps: [
      ...[call(at(0)), passes(day - 60_000), call(at(1)), passes(day - 60_000), call(at(2))],
      ...[replays(at(0)), passes(day), call(at(3), gap()), call(at(0))],
    ],
    leaves: series(4),
    counts: { executed: 4, replayed: 1, refused: 1 },
  },
];

/** Which sequence of a producer executes, and what the others are told. */
export const sequenceOrderRows: readonly Row[] = [...order, ...epochs, ...endings, ...forgotten];
