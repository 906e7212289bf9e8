import type { QueriedSeries } from '../../helpers/processes/prometheus.js';

/** A point of a line. A stacked line has the top of the line below as its bottom. */
export interface Point {
  /** In Unix seconds. */
  readonly at: number;
  readonly top: number;
  readonly bottom?: number;
}

/** A line of a panel. */
export interface Line {
  readonly name: string;
  readonly color: string;
  readonly points: readonly Point[];
  /** The points without those in the middle of a straight part, split at gaps. */
  readonly segments: readonly (readonly Point[])[];
  /** Whether every sample is 0. */
  readonly isZero: boolean;
}

/** The answer to a query, and the form of the names of its series. */
export interface Answer {
  readonly legendFormat: string;
  readonly series: readonly QueriedSeries[];
}

const COLORS = [
  ...['#1f6feb', '#d1242f', '#1a7f37', '#bf8700', '#8250df', '#0f8b8d'],
  ...['#e16f24', '#bf3989', '#57606a', '#6f9c00', '#5b4b00', '#003d99'],
];

/** Makes the lines of a panel, in the order of its answers and of the names. */
export function linesOf(answers: readonly Answer[], isStacked: boolean, step: number): Line[] {
  const named = answers.flatMap(({ legendFormat, series }) => {
    if (series.length === 0) return [{ name: `${nameOf(legendFormat, {})}: no data`, samples: [] }];
    return series
      .map(({ labels, samples }) => ({
        name: nameOf(legendFormat, labels),
        samples: samples.filter(isNumber),
      }))
      .sort((a, b) => a.name.localeCompare(b.name))
      .filter(({ samples }) => samples.length > 0);
  });
  const below = new Map<number, number>();
  let used = 0;
  return named.map(({ name, samples }) => {
    const points = samples.map(([at, value]): Point => {
      if (!isStacked) return { at, top: value };
      const bottom = below.get(at) ?? 0;
      below.set(at, bottom + value);
      return { at, bottom, top: bottom + value };
    });
    const isZero = samples.length > 0 && samples.every(([, value]) => value === 0);
    const isSeen = samples.some(([, value]) => value !== 0);
    const color = isSeen ? String(COLORS[used++ % COLORS.length]) : '#afb8c1';
    // A stacked line of zeros would hide the line below.
    const segments = isZero && isStacked ? [] : split(points, step).map(simplified);
    return { name, color, points, segments, isZero };
  });
}

/** A quantile without observations is NaN. */
function isNumber([, value]: readonly [number, number]): boolean {
  return Number.isFinite(value);
}

function nameOf(legendFormat: string, labels: Readonly<Record<string, string>>): string {
  return legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '');
}

function split(points: readonly Point[], step: number): Point[][] {
  const segments: Point[][] = [];
  for (const point of points) {
    const last = segments.at(-1);
    const previous = last?.at(-1);
    if (last && previous && point.at - previous.at < 1.5 * step) last.push(point);
    else segments.push([point]);
  }
  return segments;
}

function simplified(points: readonly Point[]): Point[] {
  const isSame = (a?: Point, b?: Point) => a?.top === b?.top && a?.bottom === b?.bottom;
  return points.filter(
    (point, index) => !(isSame(points[index - 1], point) && isSame(points[index + 1], point)),
  );
}
