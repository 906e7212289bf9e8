import type { Load } from '../load/load.js';
import type { Databases } from '../servers/databases.js';
import { ServerProcess } from '../servers/server-process.js';
import { type Engine, goalConcurrency, type Work } from '../servers/subject.js';
import { type Growth, type GrowthBound, growthOf } from './growth.js';

const MIB = 2 ** 20;

/** What grows over many calls, and how much growth is not a leak. */
export const bounds = {
  heap: { bytes: MIB, bytesPerCall: 4 },
  rss: { bytes: 24 * MIB, bytesPerCall: 8 },
  database: { bytes: 24 * MIB, bytesPerCall: 8 },
} as const satisfies Record<string, GrowthBound>;
export type Sampled = keyof typeof bounds;
export const sampledSizes = Object.keys(bounds) as Sampled[];

/** The works whose memory is measured. */
export const soakedWorks = ['ReceiveStock, hot replay', 'ReceiveStock, new key'] as const satisfies Work[];

const SAMPLES = 20;
const WARM_UP_CALLS = 5_000;
/** New keys expire after this time, in milliseconds, so that the database does not grow. */
const RETENTION_MS = 1_000;

/** The sizes after a number of calls, in bytes. */
export interface SoakSample extends Readonly<Record<Sampled, number>> {
  readonly calls: number;
}

/** The memory of one guarded server over many calls. */
export interface SoakReport {
  readonly engine: Engine;
  readonly work: Work;
  readonly samples: readonly SoakSample[];
  readonly growth: Readonly<Record<Sampled, Growth>>;
  readonly callsPerSecond: number;
  readonly failures: number;
  readonly isFlat: boolean;
}

/** Makes calls to a guarded server of its own, and samples its memory after a garbage collection. */
export async function soak(
  databases: Databases,
  load: Load,
  { engine, work, calls }: { readonly engine: Engine; readonly work: Work; readonly calls: number },
): Promise<SoakReport> {
  const databaseUrl = await databases.create(engine);
  const retention = work === 'ReceiveStock, new key' ? { retentionMs: RETENTION_MS } : {};
  const server = await ServerProcess.start(
    { kind: 'guarded', databaseUrl, ...retention },
    { flags: ['--expose-gc'] },
  );
  try {
    const run = (maxCalls: number) => load.run([server], { work, concurrency: goalConcurrency, maxCalls });
    const sample = async (made: number): Promise<SoakSample> => {
      const { heapUsed: heap, rss } = await server.memory();
      return { calls: made, heap, rss, database: await databases.bytes(databaseUrl) };
    };
    await run(WARM_UP_CALLS);
    const samples = [await sample(0)];
    let [seconds, failures] = [0, 0];
    for (let number = 1; number <= SAMPLES; number++) {
      const made = Math.round((calls * number) / SAMPLES);
      const results = await run(made - (samples.at(-1)?.calls ?? 0));
      seconds += Math.max(...results.map((result) => result.seconds));
      failures += results.reduce((sum, result) => sum + result.failures, 0);
      samples.push(await sample(made));
    }
    const growth = {
      heap: growthIn(samples, 'heap'),
      rss: growthIn(samples, 'rss'),
      database: growthIn(samples, 'database'),
    };
    const isFlat = Object.values(growth).every((each) => each.isFlat);
    return { engine, work, samples, growth, callsPerSecond: calls / seconds, failures, isFlat };
  } finally {
    await server.stop();
  }
}

function growthIn(samples: readonly SoakSample[], sampled: Sampled): Growth {
  return growthOf(
    samples.map((sample) => ({ calls: sample.calls, bytes: sample[sampled] })),
    bounds[sampled],
  );
}
