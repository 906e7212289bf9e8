// `npm run bench`: measures the guarded shop against servers written by hand, without a guard, and with other guards.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { countAll } from './counts/count-all.js';
import { canCountFsyncs } from './counts/fsyncs.js';
import { Load } from './load/load.js';
import { measureRounds } from './load/rounds.js';
import { type BenchOptions, readOptions, usage } from './options.js';
import { type NodeReport, toJson } from './report/bench-report.js';
import { chartOf } from './report/chart.js';
import { tableOf } from './report/table.js';
import { type Databases, startDatabases } from './servers/databases.js';
import { type NodeBinary, nodeAt, startFleet } from './servers/fleet.js';

const QUICK_COUNTED_CALLS = 11;
const COUNTED_CALLS = 40;

const options = optionsOrExit();
const nodes = [
  nodeAt(process.execPath),
  ...(options.node === undefined ? [] : [nodeAt(options.node, options.betterSqlite3)]),
];
const databases = await startDatabases();
try {
  const reports: NodeReport[] = [];
  for (const node of nodes) {
    const report = await measureNode(databases, node, options);
    reports.push(report);
    console.log(`\n${tableOf(report)}`);
  }
  if (options.folder !== undefined) await writeFiles(options.folder, reports);
} finally {
  await databases.stop();
}

async function measureNode(
  from: Databases,
  node: NodeBinary,
  { isQuick, ...roundOptions }: BenchOptions,
): Promise<NodeReport> {
  progress(`Node ${node.version}: counting`);
  const counts = await countAll(from, node, isQuick ? QUICK_COUNTED_CALLS : COUNTED_CALLS);
  progress(`Node ${node.version}: starting the servers`);
  const fleet = await startFleet(from, node);
  const load = new Load();
  try {
    const onRound = (round: number) =>
      progress(`Node ${node.version}: round ${round} of ${roundOptions.rounds}`);
    const series = await measureRounds(load, fleet.members, { ...roundOptions, onRound });
    const notRun = canCountFsyncs()
      ? fleet.notRun
      : [...fleet.notRun, { name: 'fsyncs', reason: 'no strace' }];
    return { node: node.version, series, counts, notRun };
  } finally {
    load.stop();
    await fleet.stop();
  }
}

async function writeFiles(folder: string, reports: readonly NodeReport[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'bench.json'), `${JSON.stringify(toJson(reports, new Date()), null, 2)}\n`);
  await writeFile(join(folder, 'bench.svg'), chartOf(reports));
}

/** Progress is for people at a terminal, not for files. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function optionsOrExit(): BenchOptions {
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
