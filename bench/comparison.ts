import type { Measure } from './round.js';

/** The median, minimum and maximum of the ratios of two subjects' measures, one ratio per round. */
export interface Ratio {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Compares one figure of a subject with the same figure of its baseline. */
export function ratio(
  subject: readonly Measure[],
  baseline: readonly Measure[],
  figure: keyof Measure,
): Ratio {
  const ratios = subject.map((measure, round) => measure[figure] / (baseline[round]?.[figure] ?? Number.NaN));
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}

/** Returns the median; NaN if there are no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** Formats a ratio for the report. */
export function format({ median: middle, min, max }: Ratio): string {
  return `${middle.toFixed(2)}x (${min.toFixed(2)} to ${max.toFixed(2)})`;
}
