import { kinds, type Work } from '../servers/subject.js';
import type { NodeRounds } from './bench-report.js';
import { type Series, spreadOf } from './statistics.js';
import { escaped, svgDocument } from './svg.js';

const WIDTH = 720;
const NAME_WIDTH = 190;
const BAR_WIDTH = 380;
const ROW_HEIGHT = 20;
const TITLE_HEIGHT = 34;

const charted: readonly Work[] = ['ReceiveStock, new key', 'ReceiveStock, hot replay', 'PlaceOrder, new key'];

/** Returns a bar chart of the calls per second of every server, as SVG. */
export function chartOf(reports: readonly NodeRounds[]): string {
  const panels = reports.flatMap(panelsOf);
  const parts: string[] = [];
  let y = 8;
  for (const { title, series } of panels) {
    parts.push(panel(title, series, y));
    y += TITLE_HEIGHT + series.length * ROW_HEIGHT + 10;
  }
  const legend = 'Bars: median of the rounds. Lines: slowest and fastest round. Longer is better.';
  parts.push(`<text x="12" y="${y + 12}" fill="#666">${legend}</text>`);
  return svgDocument({ width: WIDTH, height: y + 24, title: 'Calls per second of each server' }, parts);
}

interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

/** One panel for each engine and work, at the concurrency that the goals name, or else at the only one. */
function panelsOf({ node, series }: NodeRounds): Panel[] {
  const concurrencies = [...new Set(series.map(({ concurrency }) => concurrency))];
  const shown = concurrencies.includes(32) ? 32 : concurrencies[0];
  const panels = new Map<string, Series[]>();
  for (const each of series) {
    if (each.concurrency !== shown || !charted.includes(each.work)) continue;
    const title = `${each.subject.engine}: ${each.work}, ${shown} concurrent, calls/s (Node ${node})`;
    panels.set(title, [...(panels.get(title) ?? []), each]);
  }
  return [...panels].map(([title, group]) => ({ title, series: group }));
}

function panel(title: string, group: readonly Series[], top: number): string {
  const spreads = group.map((series) => spreadOf(series, 'callsPerSecond'));
  const scale = BAR_WIDTH / Math.max(...spreads.map(({ max }) => max));
  const rows = group.map(({ subject }, row) => {
    const { median, min, max } = spreads[row] ?? { median: 0, min: 0, max: 0 };
    const y = top + TITLE_HEIGHT + row * ROW_HEIGHT;
    const middle = y + ROW_HEIGHT / 2 - 2;
    const x = (value: number) => (NAME_WIDTH + value * scale).toFixed(1);
    const color =
      subject.kind === 'guarded' ? '#1f6feb' : subject.kind === 'yardstick' ? '#57606a' : '#afb8c1';
    return [
      `<text x="${NAME_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escaped(kinds[subject.kind])}</text>`,
      `<rect x="${NAME_WIDTH}" y="${y}" width="${(median * scale).toFixed(1)}" height="${ROW_HEIGHT - 5}" fill="${color}"/>`,
      `<path d="M${x(min)} ${middle}H${x(max)}" stroke="#24292f" stroke-width="1.5"/>`,
      `<text x="${NAME_WIDTH + BAR_WIDTH + 10}" y="${middle + 4}">${Math.round(median).toLocaleString('en')}</text>`,
    ].join('\n');
  });
  const heading = `<text x="12" y="${top + 22}" font-weight="bold">${escaped(title)}</text>`;
  return [heading, ...rows].join('\n');
}
