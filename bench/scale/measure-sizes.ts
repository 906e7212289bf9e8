import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { OpenStore } from 'grpc-replay-guard/store';
import { ratios, type Spread, spread } from '../report/statistics.js';
import type { Databases } from '../servers/databases.js';
import type { Engine } from '../servers/subject.js';
import { analyze, type FilledRecord, fill, sampleRecords, tableBytes } from './fill.js';
import {
  executeNewKey,
  type Latency,
  latencyOf,
  measurePurge,
  type PurgeMeasure,
  recorded,
  replayRecord,
} from './measure-purge.js';
import { openFilled } from './open-filled.js';
import { type StatementTime, statementTimes } from './statement-times.js';

/** The latencies of one kind of call, and their ratio to the latencies at the smallest number of records. */
export interface GrowingLatency extends Latency {
  /** The ratio of the medians, over the rounds. */
  readonly growth: Spread;
}

/** What was measured with one number of records on one engine. */
export interface ScaleReport {
  readonly engine: Engine;
  readonly records: number;
  readonly fillSeconds: number;
  readonly bytesPerRecord: number;
  readonly newKey: GrowingLatency;
  readonly replay: GrowingLatency;
  readonly purge?: PurgeMeasure;
  /** The statements before and during the purge. SQLite only. */
  readonly statements?: readonly StatementTime[];
}

/** How the numbers of records are measured. */
export interface SizeOptions {
  /** Smallest first. The smallest one is the base of the ratios. */
  readonly sizes: readonly number[];
  /** How many claims and how many replays are measured at each size. */
  readonly calls: number;
  /** The maximum duration of the purge while calls are served, in milliseconds. Default: no purge. */
  readonly purgeMs?: number;
  readonly onStep?: (step: string) => void;
}

/** The rounds of claims and replays. Each round measures every size. */
const ROUNDS = 10;
/** Calls before the first round. */
const WARM_UP_CALLS = 200;

/** A tenth of the records has expired, at most one million. */
const expiredOf = (records: number) => Math.min(Math.floor(records / 10), 1_000_000);

/**
 * Measures claims, replays and the purge on tables of several sizes. The claims and replays take turns on the sizes,
 * so that slow moments of the machine affect every size.
 */
export async function measureSizes(
  databases: Databases,
  engine: Engine,
  { sizes, calls, purgeMs, onStep }: SizeOptions,
): Promise<ScaleReport[]> {
  const tables: FilledTable[] = [];
  try {
    for (const records of sizes) {
      onStep?.(`filling ${records} records`);
      tables.push(await filledTable(databases, engine, records, calls));
    }
    onStep?.('claims and replays');
    const replays = await latenciesOf(tables, calls, ({ store, sample }, index) =>
      replayRecord(store, sample[index % sample.length] as FilledRecord),
    );
    const newKeys = await latenciesOf(tables, calls, ({ store }) => executeNewKey(store));
    const reports: ScaleReport[] = [];
    for (const [index, { url, records, store, fillSeconds, bytesPerRecord }] of tables.entries()) {
      onStep?.(`purge of ${records} records`);
      reports.push({
        ...{ engine, records, fillSeconds, bytesPerRecord },
        newKey: newKeys[index] as GrowingLatency,
        replay: replays[index] as GrowingLatency,
        ...(purgeMs !== undefined &&
          (await purgeOf(url, () => measurePurge(store, expiredOf(records), purgeMs)))),
      });
    }
    return reports;
  } finally {
    for (const { close } of tables) await close();
  }
}

/** SQLite runs its statements in this process, so that their durations can be measured. */
async function purgeOf(
  url: string,
  measure: () => Promise<PurgeMeasure>,
): Promise<Pick<ScaleReport, 'purge' | 'statements'>> {
  if (!url.startsWith('sqlite:')) return { purge: await measure() };
  const { result, times } = await statementTimes(url.slice('sqlite:'.length), measure);
  return { purge: result, statements: times };
}

interface FilledTable extends Pick<OpenStore, 'store' | 'close'> {
  readonly url: string;
  readonly records: number;
  readonly fillSeconds: number;
  readonly bytesPerRecord: number;
  /** Completed records for replays, each of which is replayed once if there are enough. */
  readonly sample: readonly FilledRecord[];
}

async function filledTable(
  databases: Databases,
  engine: Engine,
  records: number,
  calls: number,
): Promise<FilledTable> {
  const url = await databases.create(engine);
  const start = performance.now();
  const filling = await openFilled(url);
  await fill(filling.database, { records, expired: expiredOf(records) });
  await analyze(filling.database);
  await filling.close();
  const fillSeconds = (performance.now() - start) / 1_000;
  // The last connection of a SQLite file copies the log into the file when it closes.
  const { store, database, close } = await openFilled(url);
  const bytesPerRecord = (await tableBytes(database)) / records;
  const sample = await sampleRecords(database, records, Math.min(calls + WARM_UP_CALLS, records / 4));
  return { url, records, fillSeconds, bytesPerRecord, sample, store, close };
}

/** Makes one call after another. The rounds change the table after every tenth of the calls. */
async function latenciesOf(
  tables: readonly FilledTable[],
  calls: number,
  call: (table: FilledTable, index: number) => Promise<void>,
): Promise<GrowingLatency[]> {
  const measures = tables.map(() => ({ whole: createHistogram(), medians: [] as number[] }));
  for (const table of tables) for (let index = 0; index < WARM_UP_CALLS; index++) await call(table, index);
  const perRound = Math.ceil(calls / ROUNDS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [number, table] of tables.entries()) {
      const histogram: RecordableHistogram = createHistogram();
      for (let index = 0; index < perRound; index++) {
        const used = WARM_UP_CALLS + round * perRound + index;
        await recorded(histogram, () => call(table, used));
      }
      measures[number]?.whole.add(histogram);
      measures[number]?.medians.push(histogram.percentile(50));
    }
  }
  const base = measures[0]?.medians ?? [];
  return measures.map(({ whole, medians }) => ({
    ...latencyOf(whole),
    growth: spread(ratios(medians, base)),
  }));
}
