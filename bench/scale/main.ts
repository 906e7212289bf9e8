// `npm run scale`: measures how latency, purge and size grow with the number of records.
import { optionsOrExit } from '../options-or-exit.js';
import { growthGoals } from '../report/goals.js';
import { progress } from '../report/progress.js';
import { goalsTable } from '../report/table.js';
import { startDatabases } from '../servers/databases.js';
import { measureSizes, type ScaleReport } from './measure-sizes.js';
import { measureOldSnapshot } from './old-snapshot.js';
import { readOptions, usage } from './options.js';
import { oldSnapshotTable, tablesOf } from './report.js';

const options = optionsOrExit(readOptions, usage);
const databases = await startDatabases();
try {
  const all: ScaleReport[] = [];
  for (const engine of options.engines) {
    const onStep = (step: string) => progress(`${engine}: ${step}`);
    const reports = await measureSizes(databases, engine, { ...options, onStep });
    all.push(...reports);
    console.log(`\n${tablesOf(reports)}`);
    if (engine === 'postgres') {
      const urls = [await databases.create(engine), await databases.create(engine)] as const;
      console.log(`\n${oldSnapshotTable(await measureOldSnapshot(urls))}`);
    }
  }
  console.log(
    `\n${goalsTable('growth with the number of records', [{ title: '', goals: growthGoals(all) }])}`,
  );
} finally {
  await databases.stop();
}
