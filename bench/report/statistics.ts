import type { Measure } from '../load/load.js';
import type { Subject, Work } from '../servers/subject.js';

/** The measures of one server with one work at one concurrency, one for each round. */
export interface Series {
  readonly subject: Subject;
  readonly work: Work;
  readonly concurrency: number;
  readonly measures: Measure[];
}

/** The figures of a measure that are compared. */
export type Figure = 'callsPerSecond' | 'cpuMicros' | 'p50Ms' | 'p99Ms';

/** The middle and the bounds of some values. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Returns the spread of a figure over the rounds. */
export function spreadOf({ measures }: Series, figure: Figure): Spread {
  return spread(measures.map((measure) => measure[figure]));
}

/** Returns the spread of the ratios of two series, round by round. A slow round is slow for both. */
export function ratioOf(series: Series, base: Series, figure: Figure): Spread {
  const rounds = Math.min(series.measures.length, base.measures.length);
  const values = Array.from({ length: rounds }, (_, round) => {
    const [own, other] = [series.measures[round], base.measures[round]];
    return own && other ? own[figure] / other[figure] : Number.NaN;
  });
  return spread(values);
}

function spread(values: readonly number[]): Spread {
  return { median: medianOf(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Returns the middle value, or the mean of the two middle values. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
