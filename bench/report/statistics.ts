import type { Measure } from '../load/load.js';
import type { Subject, Work } from '../servers/subject.js';

/** The measures of one server with one work at one concurrency, one for each round. */
export interface Series {
  readonly subject: Subject;
  /** The version of the server's Node. */
  readonly node: string;
  /** The number of processes of the server, all on one database. */
  readonly processes: number;
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
  const valuesOf = ({ measures }: Series) => measures.map((measure) => measure[figure]);
  return spread(ratios(valuesOf(series), valuesOf(base)));
}

/** Returns the ratios of the values of two lists, round by round. */
export function ratios(values: readonly number[], bases: readonly number[]): number[] {
  const rounds = Math.min(values.length, bases.length);
  return Array.from({ length: rounds }, (_, round) => (values[round] as number) / (bases[round] as number));
}

/** Returns the middle and the bounds of some values. */
export function spread(values: readonly number[]): Spread {
  return { median: medianOf(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Returns the middle value, or the mean of the two middle values. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
