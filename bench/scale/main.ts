// `npm run scale`: measures how latency, purge and size grow with the number of records.

import { type Databases, startDatabases } from '../servers/databases.js';
import type { Engine } from '../servers/subject.js';
import { analyze, fill, sampleRecords, tableBytes } from './fill.js';
import { measureNewKeys, measurePurge, measureReplays, WARM_UP_CALLS } from './measure.js';
import { measureOldSnapshot } from './old-snapshot.js';
import { openFilled } from './open-filled.js';
import { readOptions, type ScaleOptions, usage } from './options.js';
import { oldSnapshotTable, type ScaleReport, tablesOf } from './report.js';

/** A tenth of the records has expired, at most one million. */
const expiredOf = (records: number) => Math.min(Math.floor(records / 10), 1_000_000);

const options = optionsOrExit();
const databases = await startDatabases();
try {
  for (const engine of options.engines) {
    const reports: ScaleReport[] = [];
    for (const records of options.sizes) reports.push(await measureSize(databases, engine, records, options));
    console.log(`\n${tablesOf(reports)}`);
    if (engine === 'postgres') {
      const urls = [await databases.create(engine), await databases.create(engine)] as const;
      console.log(`\n${oldSnapshotTable(await measureOldSnapshot(urls))}`);
    }
  }
} finally {
  await databases.stop();
}

async function measureSize(
  from: Databases,
  engine: Engine,
  records: number,
  { calls, purgeMs }: ScaleOptions,
): Promise<ScaleReport> {
  const url = await from.create(engine);
  const expired = expiredOf(records);
  const start = performance.now();
  const filling = await openFilled(url);
  await fill(filling.database, { records, expired });
  await analyze(filling.database);
  await filling.close();
  const fillSeconds = (performance.now() - start) / 1_000;
  // The last connection of a SQLite file copies the log into the file when it closes.
  const { store, database, close } = await openFilled(url);
  try {
    const bytesPerRecord = (await tableBytes(database)) / records;
    const sample = await sampleRecords(database, records, Math.min(calls, records / 4) + WARM_UP_CALLS);
    const replay = await measureReplays(store, sample);
    const newKey = await measureNewKeys(store, calls);
    const purge = await measurePurge(store, expired, purgeMs);
    return { engine, records, fillSeconds, bytesPerRecord, newKey, replay, purge };
  } finally {
    await close();
  }
}

function optionsOrExit(): ScaleOptions {
  try {
    const given = readOptions(process.argv.slice(2));
    if (given) return given;
    console.log(usage);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(1);
  }
}
