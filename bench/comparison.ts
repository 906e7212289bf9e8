import type { Measure } from './round.js';

/** The median, least and greatest of the ratios of two subjects' measures, round by round. */
export interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

export function ratio(of: readonly Measure[], to: readonly Measure[], figure: keyof Measure): Ratio {
  const ratios = of.map((measure, round) => measure[figure] / (to[round]?.[figure] ?? Number.NaN));
  return { median: median(ratios), least: Math.min(...ratios), greatest: Math.max(...ratios) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export function format({ median: middle, least, greatest }: Ratio): string {
  return `${middle.toFixed(2)}x (${least.toFixed(2)} to ${greatest.toFixed(2)})`;
}
