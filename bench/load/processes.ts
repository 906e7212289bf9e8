import type { BenchOptions } from '../options.js';
import type { Series } from '../report/statistics.js';
import type { Databases } from '../servers/databases.js';
import { startFleet } from '../servers/fleet.js';
import { nodeAt } from '../servers/node-binary.js';
import { goalConcurrency, type Work } from '../servers/subject.js';
import type { Load } from './load.js';
import { measureRounds } from './rounds.js';

/** Duplicates reach different processes, so that most of them wait for an execution in another process. */
const spread: readonly Work[] = ['ReceiveStock, new key', 'ReceiveStock, half duplicates'];
/** For each process. */
const warmUp: Partial<Record<Work, number>> = {
  'ReceiveStock, new key': 2_500,
  'ReceiveStock, half duplicates': 500,
};

/** Measures guarded calls to several server processes on one Postgres. Each number of processes has a database. */
export async function measureProcesses(
  databases: Databases,
  load: Load,
  options: Pick<BenchOptions, 'processes' | 'rounds' | 'durationMs'> & { onStep(step: string): void },
): Promise<Series[]> {
  const node = nodeAt(process.execPath);
  const fleet = await startFleet(
    databases,
    options.processes.map((processes) => ({
      subject: { engine: 'postgres', kind: 'guarded' },
      node,
      processes,
    })),
  );
  try {
    const series = await measureRounds(load, fleet.members, {
      ...{ rounds: options.rounds, durationMs: 2 * options.durationMs },
      ...{ concurrenciesOf: () => [goalConcurrency], works: spread, warmUp, onStep: options.onStep },
    });
    return spread.flatMap((work) => series.filter((each) => each.work === work));
  } finally {
    await fleet.stop();
  }
}
