import type { CountedWork } from '../counts/count-all.js';
import type { Counts } from '../counts/count-calls.js';
import type { ScaleReport } from '../scale/measure-sizes.js';
import { type Engine, goalConcurrency, type Kind, type Work } from '../servers/subject.js';
import { type Figure, ratioOf, type Series, type Spread } from './statistics.js';

/** A goal of the performance budget, and what was measured. */
export interface CheckedGoal {
  readonly name: string;
  readonly measured: string;
  readonly bound: string;
  readonly isReached: boolean;
}

const newKey: Work = 'ReceiveStock, new key';
const replay: Work = 'ReceiveStock, hot replay';
const placeOrder: Work = 'PlaceOrder, new key';

const countBounds: readonly [Engine, Work, Pick<Counts, 'promises' | 'timers' | 'controllers'>][] = [
  ['sqlite', replay, { promises: 8, timers: 0, controllers: 0 }],
  ['sqlite', newKey, { promises: 40, timers: 1, controllers: 0 }],
  ['sqlite', placeOrder, { promises: 220, timers: 8, controllers: 2 }],
  ['postgres', replay, { promises: 20, timers: 2, controllers: 0 }],
  ['postgres', newKey, { promises: 60, timers: 6, controllers: 0 }],
];

const MAX_TRANSACTION_PROMISES = 15;

/**
 * Checks what a guarded call creates: promises, timers and abort controllers.
 * @param transactionPromises the promises of a transaction with one statement, if they were counted
 */
export function countGoals(counts: readonly CountedWork[], transactionPromises?: number): CheckedGoal[] {
  const ofCalls = countBounds.flatMap(([engine, work, bounds]) => {
    const counted = counts.find(
      ({ subject, work: own }) => subject.engine === engine && subject.kind === 'guarded' && own === work,
    )?.counts;
    if (!counted) return [];
    const names = ['promises', 'timers', 'controllers'] as const;
    return [
      {
        name: `${engine}: ${work}`,
        measured: names.map((name) => counted[name]).join(' / '),
        bound: `at most ${names.map((name) => bounds[name]).join(' / ')}`,
        isReached: names.every((name) => counted[name] <= bounds[name]),
      },
    ];
  });
  if (transactionPromises === undefined) return ofCalls;
  const ofTransaction = {
    name: 'sqlite: an unguarded transaction of one statement',
    measured: `${transactionPromises}`,
    bound: `at most ${MAX_TRANSACTION_PROMISES}`,
    isReached: transactionPromises <= MAX_TRANSACTION_PROMISES,
  };
  return [...ofCalls, ofTransaction];
}

type RatioGoal = readonly [Engine, Work, base: Kind, baseName: string, bound: number];

const cpuBounds: readonly RatioGoal[] = [
  ['sqlite', replay, 'yardstick', 'yardstick', 1.25],
  ['sqlite', newKey, 'yardstick', 'yardstick', 1.25],
  ['postgres', replay, 'yardstick', 'yardstick', 1.4],
  ['postgres', newKey, 'yardstick', 'yardstick', 1.2],
];

const speedBounds: readonly RatioGoal[] = [
  ['sqlite', newKey, 'noKey', 'by hand, no key, a commit each', 1.2],
  ['postgres', newKey, 'yardstick', 'yardstick', 0.95],
  ['postgres', newKey, 'noKey', 'by hand, no key', 0.6],
  ['sqlite', newKey, 'nodeIdempotency', '@node-idempotency', 1],
  ['sqlite', replay, 'nodeIdempotency', '@node-idempotency', 1],
  ['postgres', newKey, 'nodeIdempotency', '@node-idempotency', 1],
  ['postgres', replay, 'nodeIdempotency', '@node-idempotency', 1],
];

/** Checks the CPU time of a guarded call as a ratio to another server. */
export function cpuGoals(series: readonly Series[]): CheckedGoal[] {
  return cpuBounds.flatMap((goal) => ratioGoal(series, goal, 'cpuMicros'));
}

/** Checks the guarded calls per second as a ratio to another server. */
export function speedGoals(series: readonly Series[]): CheckedGoal[] {
  return speedBounds.flatMap((goal) => ratioGoal(series, goal, 'callsPerSecond'));
}

function ratioGoal(
  all: readonly Series[],
  [engine, work, base, baseName, bound]: RatioGoal,
  figure: Figure,
): CheckedGoal[] {
  const find = (kind: Kind) =>
    all.find(
      ({ subject, work: own, concurrency }) =>
        subject.engine === engine && subject.kind === kind && own === work && concurrency === goalConcurrency,
    );
  const [own, other] = [find('guarded'), find(base)];
  if (!own || !other) return [];
  const ratio = ratioOf(own, other, figure);
  const isUpper = figure === 'cpuMicros';
  return [
    {
      name: `${engine}: ${work}, to ${baseName}`,
      measured: ratioText(ratio),
      bound: `${isUpper ? 'at most' : 'at least'} ${bound}`,
      isReached: isUpper ? ratio.median <= bound : ratio.median >= bound,
    },
  ];
}

const MAX_BYTES = 250;
const MAX_GROWTH = 1.3;

/** Checks the size of a record, and the growth of the latencies from the first number of records to the last. */
export function growthGoals(reports: readonly ScaleReport[]): CheckedGoal[] {
  const engines = [...new Set(reports.map(({ engine }) => engine))];
  return engines.flatMap((engine) => {
    const last = reports.filter((report) => report.engine === engine).at(-1);
    if (!last) return [];
    const { bytesPerRecord, newKey: claims, replay: replays } = last;
    const records = last.records.toLocaleString('en-US');
    const size = {
      name: `${engine}: bytes of a record at rest`,
      measured: bytesPerRecord.toFixed(0),
      bound: `at most ${MAX_BYTES}`,
      isReached: bytesPerRecord <= MAX_BYTES,
    };
    const growths = (
      [
        ['claim', claims.growth],
        ['replay', replays.growth],
      ] as const
    ).map(([name, growth]) => ({
      name: `${engine}: p50 of a ${name} at ${records} records`,
      measured: ratioText(growth),
      bound: `at most ${MAX_GROWTH}`,
      isReached: growth.median <= MAX_GROWTH,
    }));
    return [size, ...growths];
  });
}

/** Returns a ratio as its median over the rounds, with the lowest and the highest round. */
export function ratioText({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
}
