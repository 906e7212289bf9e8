import { cpus } from 'node:os';
import type { CountedWork } from '../counts/count-all.js';
import type { ScaleReport } from '../scale/measure-sizes.js';
import type { NotRun } from '../servers/fleet.js';
import { type Kind, kinds, nameOf } from '../servers/subject.js';
import type { SoakReport } from '../soak/soak.js';
import { ratioOf, type Series, type Spread, spreadOf } from './statistics.js';

/** The rounds in one Node. */
export interface NodeRounds {
  /** The version of Node, for example `v20.19.0`. */
  readonly node: string;
  readonly series: readonly Series[];
}

/** Everything that was measured. A part that did not run is empty. */
export interface BenchReport {
  readonly counts: readonly CountedWork[];
  /** The promises of a transaction with one statement on SQLite. */
  readonly transactionPromises?: number;
  readonly nodes: readonly NodeRounds[];
  readonly processes: readonly Series[];
  readonly soaks: readonly SoakReport[];
  readonly growth: readonly ScaleReport[];
  readonly notRun: readonly NotRun[];
}

/** The servers that others are compared with. */
export const baselines = ['yardstick', 'unguarded', 'noKey'] as const satisfies readonly Kind[];
export type Baseline = (typeof baselines)[number];

/** Returns the series of a baseline with the same engine, work and concurrency, if there is one. */
export function baselineOf(series: Series, all: readonly Series[], kind: Baseline): Series | undefined {
  return all.find(
    ({ subject, work, concurrency }) =>
      subject.engine === series.subject.engine &&
      subject.kind === kind &&
      subject.kind !== series.subject.kind &&
      work === series.work &&
      concurrency === series.concurrency,
  );
}

/** Returns the report as an object for JSON, with every median, bound and ratio. */
export function toJson(report: BenchReport, takenAt: Date): object {
  const { counts, transactionPromises, nodes, processes, soaks, growth, notRun } = report;
  return {
    takenAt: takenAt.toISOString(),
    machine: { cpus: cpus().length, model: cpus()[0]?.model, platform: process.platform },
    counts: counts.map(({ subject, work, counts: perCall }) => ({
      ...{ engine: subject.engine, server: kinds[subject.kind], work },
      perCall,
    })),
    transactionPromises,
    nodes: nodes.map(({ node, series }) => ({
      node,
      series: series.map((each) => seriesJson(each, series)),
    })),
    processes: processes.map((each) => seriesJson(each, processes)),
    soaks,
    growth,
    notRun,
  };
}

function seriesJson(series: Series, all: readonly Series[]): object {
  const { subject, processes, work, concurrency, measures } = series;
  return {
    ...{ name: nameOf(subject), engine: subject.engine, server: kinds[subject.kind], processes },
    ...{ work, concurrency },
    callsPerSecond: spreadOf(series, 'callsPerSecond'),
    cpuMicrosPerCall: spreadOf(series, 'cpuMicros'),
    p50Ms: spreadOf(series, 'p50Ms'),
    p99Ms: spreadOf(series, 'p99Ms'),
    failures: measures.reduce((sum, { failures }) => sum + failures, 0),
    ratios: Object.fromEntries(baselines.flatMap((kind) => ratioEntry(series, all, kind))),
    rounds: measures,
  };
}

function ratioEntry(
  series: Series,
  all: readonly Series[],
  kind: Baseline,
): [string, { readonly callsPerSecond: Spread; readonly cpuMicrosPerCall: Spread }][] {
  const base = baselineOf(series, all, kind);
  if (!base) return [];
  const callsPerSecond = ratioOf(series, base, 'callsPerSecond');
  return [[kinds[kind], { callsPerSecond, cpuMicrosPerCall: ratioOf(series, base, 'cpuMicros') }]];
}
