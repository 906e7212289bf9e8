import { kinds, nameOf } from '../servers/subject.js';
import { type Baseline, baselineOf, baselines, type NodeReport } from './bench-report.js';
import { goals } from './goals.js';
import { ratioOf, type Series, type Spread, spreadOf } from './statistics.js';

/** Returns a report as tables of text, one for each engine, work and concurrency. */
export function tableOf(report: NodeReport): string {
  const tables = [...groupsOf(report.series)].map(([title, group]) => seriesTable(title, group));
  const skipped = report.notRun.map(({ name, reason }) => `${name}: not run: ${reason}`);
  return [`Node ${report.node}`, ...tables, countsTable(report), goalsTable(report), ...skipped].join('\n\n');
}

function groupsOf(all: readonly Series[]): Map<string, Series[]> {
  const groups = new Map<string, Series[]>();
  for (const series of all) {
    const { subject, work, concurrency } = series;
    const title = `${subject.engine}: ${work}, ${concurrency} concurrent`;
    groups.set(title, [...(groups.get(title) ?? []), series]);
  }
  return groups;
}

const baselineTitles: Readonly<Record<Baseline, string>> = {
  yardstick: 'yardstick',
  unguarded: 'unguarded',
  noKey: 'no key',
};

/** Ratios are medians over the rounds, with the lowest and the highest round. */
function seriesTable(title: string, group: readonly Series[]): string {
  const present = baselines.filter((kind) => group.some(({ subject }) => subject.kind === kind));
  const ratioTitles = present.flatMap((kind) => [
    `calls/s to ${baselineTitles[kind]}`,
    `CPU to ${baselineTitles[kind]}`,
  ]);
  const rows = group.map((series) => {
    const number = (figure: Parameters<typeof spreadOf>[1], digits: number) =>
      spreadOf(series, figure).median.toFixed(digits);
    const failures = series.measures.reduce((sum, measure) => sum + measure.failures, 0);
    const ratios = present.flatMap((kind) => {
      const base = baselineOf(series, group, kind);
      if (!base) return ['', ''];
      return [
        ratioText(ratioOf(series, base, 'callsPerSecond')),
        ratioText(ratioOf(series, base, 'cpuMicros')),
      ];
    });
    return [
      kinds[series.subject.kind] + (failures > 0 ? ` (${failures} failed)` : ''),
      number('callsPerSecond', 0),
      number('cpuMicros', 0),
      number('p50Ms', 1),
      number('p99Ms', 1),
      ...ratios,
    ];
  });
  return `${title}\n${align([['', 'calls/s', 'CPU us', 'p50 ms', 'p99 ms', ...ratioTitles], ...rows])}`;
}

function countsTable({ counts }: NodeReport): string {
  const columns = [
    'promises',
    'timers',
    'controllers',
    'errors',
    'statements',
    'commits',
    'messages',
    'roundTrips',
  ];
  const rows = counts.map(({ subject, work, counts: perCall }) => {
    const values = new Map(Object.entries(perCall));
    const cells = columns.map((column) => values.get(column)?.toFixed(1) ?? '');
    return [`${nameOf(subject)}: ${work}`, ...cells, perCall.fsyncs?.toFixed(1) ?? 'not run'];
  });
  return `counts per call, one call at a time\n${align([['', ...columns, 'fsyncs'], ...rows])}`;
}

function goalsTable({ series }: NodeReport): string {
  const rows = goals.flatMap((goal) => {
    const reached = goal.reached(series);
    if (!reached) return [];
    const isReached = goal.isUpperBound ? reached.median <= goal.bound : reached.median >= goal.bound;
    const bound = `${goal.isUpperBound ? 'at most' : 'at least'} ${goal.bound}`;
    return [[goal.name, ratioText(reached), bound, isReached ? 'reached' : 'not reached']];
  });
  return `goals, 32 concurrent\n${align([['', 'ratio', 'goal', ''], ...rows])}`;
}

function ratioText({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
}

/** The first column is aligned to its start, all others to their end. */
export function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
  return rows.map((row) => `  ${line(row).join('  ').trimEnd()}`).join('\n');
}
