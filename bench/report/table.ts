import { cpus } from 'node:os';
import { kinds, nameOf } from '../servers/subject.js';
import { type Baseline, type BenchReport, baselineOf, baselines, type NodeRounds } from './bench-report.js';
import { type CheckedGoal, ratioText } from './goals.js';
import { type Figure, ratioOf, type Series, spreadOf } from './statistics.js';

const baselineTitles: Readonly<Record<Baseline, string>> = {
  yardstick: 'yardstick',
  unguarded: 'unguarded',
  noKey: 'no key',
};

/** Returns the rounds in one Node as tables of text, one for each engine, work and concurrency. */
export function roundsTables({ node, series }: NodeRounds): string {
  const groups = new Map<string, Series[]>();
  for (const each of series) {
    const { subject, work, concurrency } = each;
    const title = `${subject.engine}: ${work}, ${concurrency} concurrent`;
    groups.set(title, [...(groups.get(title) ?? []), each]);
  }
  return [`Node ${node}`, ...[...groups].map(([title, group]) => groupTable(title, group))].join('\n\n');
}

/** Ratios are medians over the rounds, with the lowest and the highest round. */
function groupTable(title: string, group: readonly Series[]): string {
  const present = baselines.filter((kind) => group.some(({ subject }) => subject.kind === kind));
  const ratioTitles = present.flatMap((kind) => [
    `calls/s to ${baselineTitles[kind]}`,
    `CPU to ${baselineTitles[kind]}`,
  ]);
  const rows = group.map((series) => {
    const ratios = present.flatMap((kind) => {
      const base = baselineOf(series, group, kind);
      if (!base) return ['', ''];
      return [
        ratioText(ratioOf(series, base, 'callsPerSecond')),
        ratioText(ratioOf(series, base, 'cpuMicros')),
      ];
    });
    return [kinds[series.subject.kind] + failuresOf(series), ...figuresOf(series), ...ratios];
  });
  return `${title}\n${align([['', ...figureTitles, ...ratioTitles], ...rows])}`;
}

const figureTitles = ['calls/s', 'CPU us', 'p50 ms', 'p99 ms'];

function figuresOf(series: Series): string[] {
  return [
    median(series, 'callsPerSecond', 0),
    median(series, 'cpuMicros', 0),
    median(series, 'p50Ms', 1),
    median(series, 'p99Ms', 1),
  ];
}

function median(series: Series, figure: Figure, digits: number): string {
  return spreadOf(series, figure).median.toFixed(digits);
}

function failuresOf({ measures }: Series): string {
  const failures = measures.reduce((sum, measure) => sum + measure.failures, 0);
  return failures > 0 ? ` (${failures} failed)` : '';
}

/** Returns what guarded calls cost in each Node, side by side, as a table of text. */
export function nodesTable(nodes: readonly NodeRounds[]): string {
  const [first] = nodes;
  const guarded = first?.series.filter(({ subject }) => subject.kind === 'guarded') ?? [];
  const rows = guarded.flatMap((own) => {
    const cells = nodes.map(({ series }) => {
      const same = series.find(
        ({ subject, work, concurrency }) =>
          nameOf(subject) === nameOf(own.subject) && work === own.work && concurrency === own.concurrency,
      );
      const base = same && baselineOf(same, series, 'yardstick');
      if (!same || !base) return undefined;
      const ratio = ratioText(ratioOf(same, base, 'cpuMicros'));
      return [
        median(same, 'callsPerSecond', 0),
        median(same, 'cpuMicros', 0),
        median(base, 'cpuMicros', 0),
        ratio,
      ];
    });
    if (cells.includes(undefined)) return [];
    return [[`${own.subject.engine}: ${own.work}`, ...cells.flatMap((each) => each ?? [])]];
  });
  const titles = nodes.flatMap(({ node }) => [`${node} calls/s`, 'CPU us', 'yardstick', 'ratio']);
  return `guarded calls and the CPU time of the yardstick, 32 concurrent\n${align([['', ...titles], ...rows])}`;
}

/** Returns the calls to several server processes on one Postgres as a table of text. */
export function processesTable(all: readonly Series[]): string {
  const rows = all.map((series) => {
    const one = all.find(({ work, processes }) => work === series.work && processes === all[0]?.processes);
    const ratios =
      one && one !== series
        ? [ratioText(ratioOf(series, one, 'callsPerSecond')), ratioText(ratioOf(series, one, 'cpuMicros'))]
        : ['', ''];
    return [`${series.processes}: ${series.work}${failuresOf(series)}`, ...figuresOf(series), ...ratios];
  });
  const title = `guarded server processes on one Postgres, ${all[0]?.concurrency} concurrent calls in all, ${cpus().length} CPUs for servers, Postgres and load`;
  const first = `${all[0]?.processes}`;
  return `${title}\n${align([['', ...figureTitles, `calls/s to ${first}`, `CPU to ${first}`], ...rows])}`;
}

/** Returns the counts as a table of text. */
export function countsTable({ counts }: Pick<BenchReport, 'counts'>): string {
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

/** The goals as they were checked in one Node. */
export interface GoalColumn {
  /** For example the version of Node. */
  readonly title: string;
  readonly goals: readonly CheckedGoal[];
}

/** Returns checked goals as a table of text. The first column names the goals. */
export function goalsTable(title: string, columns: readonly GoalColumn[]): string {
  const [first] = columns;
  const rows = (first?.goals ?? []).map(({ name, bound }) => {
    const cells = columns.flatMap(({ goals }) => {
      const goal = goals.find((one) => one.name === name);
      return goal ? [goal.measured, goal.isReached ? 'reached' : 'not reached'] : ['', ''];
    });
    return [name, bound, ...cells];
  });
  return `${title}\n${align([['', 'goal', ...columns.flatMap((column) => [column.title, ''])], ...rows])}`;
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
