import { escaped } from '../../../bench/report/svg.js';
import type { Line } from './drawn-lines.js';
import { type Axis, axisOf } from './units.js';

/** A part of the load, drawn behind every panel. */
export interface Phase {
  readonly title: string;
  /** In Unix seconds. */
  readonly from: number;
  to: number;
  readonly color: string;
}

/** A rectangle of the picture, in pixels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The time range of the picture, in Unix seconds, and what happened in it. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly phases: readonly Phase[];
}

const LEFT = 62;
const TOP = 26;
const LEGEND_ROW = 15;
const AXIS_HEIGHT = 20;
/** The width of a wide character of the legend, in pixels. */
const CHARACTER = 7.2;

/** Draws lines over time, with both axes, the phases of the load, and a legend. */
export function timePanel(title: string, box: Box, lines: readonly Line[], unit: string, span: Span): string {
  const entries = legendOf(lines, box.width - 16);
  const bottom = box.y + box.height - 8 - entries.rows * LEGEND_ROW - AXIS_HEIGHT;
  const plot = {
    x: box.x + LEFT,
    y: box.y + TOP + 6,
    width: box.width - LEFT - 12,
    height: bottom - box.y - TOP - 6,
  };
  const axis = axisOf(unit, Math.max(0, ...lines.flatMap(({ points }) => points.map(({ top }) => top))));
  const x = (at: number) => round(plot.x + ((at - span.from) / (span.to - span.from)) * plot.width);
  const y = (value: number) => round(plot.y + plot.height - (value / axis.max) * plot.height);
  return [
    frame(box, title),
    ...span.phases.map(
      ({ from, to, color }) =>
        `<rect x="${x(from)}" y="${plot.y}" width="${round(x(to) - x(from))}" height="${plot.height}" fill="${color}"/>`,
    ),
    ...valueAxis(axis, plot, y),
    ...timeAxis(span, plot, x),
    ...lines.map((line) => drawn(line, x, y)),
    entries.draw(box.x + 10, bottom + AXIS_HEIGHT + 10),
  ].join('\n');
}

/** Draws the border and the title of a panel. */
export function frame({ x, y, width, height }: Box, title: string): string {
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="3" fill="none" stroke="#d0d7de"/>
<text x="${x + 10}" y="${y + 19}" font-size="13" font-weight="bold" fill="#24292f">${escaped(title)}</text>`;
}

function valueAxis({ ticks, label }: Axis, { x, width }: Box, y: (value: number) => number): string[] {
  return ticks.map(
    (tick) =>
      `<path d="M${x} ${y(tick)}h${width}" stroke="#eaeef2"/><text x="${x - 5}" y="${y(tick) + 4}" text-anchor="end" font-size="11" fill="#57606a">${escaped(label(tick))}</text>`,
  );
}

/** Marks each minute since the begin. */
function timeAxis({ from, to }: Span, { y, height }: Box, x: (at: number) => number): string[] {
  const minutes = Array.from({ length: Math.floor((to - from) / 60) + 1 }, (_, minute) => minute);
  return minutes.map(
    (minute) =>
      `<text x="${x(from + 60 * minute)}" y="${y + height + 14}" text-anchor="middle" font-size="11" fill="#57606a">${minute} min</text>`,
  );
}

/** A line that is not stacked has no area. A gap in the samples is a gap in the line. */
function drawn({ color, segments }: Line, x: (at: number) => number, y: (value: number) => number): string {
  const paths = segments.map((segment) => {
    const tops = segment.map(({ at, top }) => `${x(at)} ${y(top)}`);
    const line = `<path d="M${tops.join('L')}" fill="none" stroke="${color}" stroke-width="1.5"/>`;
    if (segment.every(({ bottom }) => bottom === undefined)) return line;
    const bottoms = segment.map(({ at, bottom = 0 }) => `${x(at)} ${y(bottom)}`).reverse();
    return `<path d="M${[...tops, ...bottoms].join('L')}Z" fill="${color}" fill-opacity="0.25"/>${line}`;
  });
  return paths.join('');
}

/** The names of the lines, in rows. Lines that are 0 all the time share one entry. */
function legendOf(lines: readonly Line[], width: number) {
  const shown = lines.filter(({ isZero }) => !isZero);
  const zero = lines.length - shown.length;
  const entries = shown.map(({ name, color }) => ({ name, color }));
  if (zero > 0) entries.push({ name: shown.length === 0 ? 'all 0' : `${zero} more: 0`, color: '#afb8c1' });
  const placed: { name: string; color: string; x: number; row: number }[] = [];
  let [x, row] = [0, 0];
  for (const entry of entries) {
    const entryWidth = 30 + entry.name.length * CHARACTER;
    if (x > 0 && x + entryWidth > width) [x, row] = [0, row + 1];
    placed.push({ ...entry, x, row });
    x += entryWidth;
  }
  return {
    rows: row + 1,
    draw: (left: number, top: number) =>
      placed
        .map(({ name, color, ...at }) => {
          const y = top + at.row * LEGEND_ROW;
          return `<path d="M${left + at.x} ${y - 4}h12" stroke="${color}" stroke-width="3"/><text x="${left + at.x + 16}" y="${y}" font-size="11" fill="#24292f">${escaped(name)}</text>`;
        })
        .join('\n'),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
