import { escaped, svgDocument } from '../../../bench/report/svg.js';
import type { QueriedSeries } from '../../helpers/processes/prometheus.js';
import type { Panel } from '../dashboard.js';
import { type Answer, linesOf } from './drawn-lines.js';
import { type Box, frame, type Phase, type Span, timePanel } from './time-panel.js';
import { textOf } from './units.js';

/** A unit of the grid of the dashboard, in pixels. */
const UNIT = { width: 60, height: 31 };
const GAP = 6;
const HEADER = 68;

/** A panel, and the answers to its queries. */
export interface AnsweredPanel {
  readonly panel: Panel;
  readonly answers: readonly Answer[];
}

/** Draws the panels of the dashboard at their places. @param step the pause between two samples, in seconds */
export function pictureOf(
  panels: readonly AnsweredPanel[],
  heading: string,
  span: Span,
  step: number,
): string {
  const [width, height] = [
    24 * UNIT.width + 2 * GAP,
    Math.max(...panels.map(({ panel }) => bottomOf(panel))),
  ];
  const parts = panels.map(({ panel, answers }) => {
    const box = boxOf(panel);
    const unit = panel.fieldConfig?.defaults.unit ?? 'short';
    if (panel.type === 'row') return row(panel.title, box);
    if (panel.type === 'stat') return stat(panel, box, answers[0]?.series ?? [], unit);
    const isStacked = panel.fieldConfig?.defaults.custom?.stacking?.mode === 'normal';
    return timePanel(panel.title, box, linesOf(answers, isStacked, step), unit, span);
  });
  return svgDocument({ width, height: height + GAP, title: heading }, [
    header(heading, span.phases),
    ...parts,
  ]);
}

function header(heading: string, phases: readonly Phase[]): string {
  let x = 16;
  const marks = phases.map(({ title, color }) => {
    const mark = `<rect x="${x}" y="40" width="16" height="14" fill="${color}" stroke="#d0d7de"/><text x="${x + 22}" y="52" fill="#24292f">${escaped(title)}</text>`;
    x += 44 + title.length * 6.4;
    return mark;
  });
  return `<text x="16" y="26" font-size="16" font-weight="bold" fill="#24292f">${escaped(heading)}</text>
${marks.join('\n')}`;
}

function row(title: string, { x, y }: Box): string {
  return `<text x="${x + 10}" y="${y + 20}" font-size="14" font-weight="bold" fill="#57606a">${escaped(title)}</text>`;
}

/** Draws the last value of the only series. */
function stat(panel: Panel, box: Box, [series]: readonly QueriedSeries[], unit: string): string {
  const value = series?.samples.at(-1)?.[1];
  const steps = panel.fieldConfig?.defaults.thresholds?.steps ?? [];
  const color = steps.findLast((step) => step.value === null || (value ?? 0) >= step.value)?.color;
  const fill = { green: '#1a7f37', red: '#d1242f' }[color ?? ''] ?? '#24292f';
  const text = value === undefined ? 'no data' : textOf(unit, value);
  return `${frame(box, panel.title)}
<text x="${box.x + box.width / 2}" y="${box.y + box.height / 2 + 24}" text-anchor="middle" font-size="34" fill="${fill}">${escaped(text)}</text>`;
}

function boxOf({ gridPos: { x, y, w, h } }: Panel): Box {
  return {
    x: GAP + x * UNIT.width + GAP / 2,
    y: HEADER + y * UNIT.height + GAP / 2,
    width: w * UNIT.width - GAP,
    height: h * UNIT.height - GAP,
  };
}

function bottomOf(panel: Panel): number {
  const { y, height } = boxOf(panel);
  return y + height + GAP / 2;
}
