// `npm run bench`: measures the guarded shop against servers written by hand, without a guard, and with other guards.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { countAll } from './counts/count-all.js';
import { countTransaction } from './counts/count-transaction.js';
import { canCountFsyncs } from './counts/fsyncs.js';
import { Load } from './load/load.js';
import { measureProcesses } from './load/processes.js';
import { measureRounds } from './load/rounds.js';
import { type Part, readOptions, usage } from './options.js';
import { optionsOrExit } from './options-or-exit.js';
import { type BenchReport, type NodeRounds, toJson } from './report/bench-report.js';
import { chartOf } from './report/chart.js';
import { countGoals, cpuGoals, growthGoals, speedGoals } from './report/goals.js';
import { progress } from './report/progress.js';
import { countsTable, goalsTable, nodesTable, processesTable, roundsTables } from './report/table.js';
import { measureSizes, type ScaleReport } from './scale/measure-sizes.js';
import { tablesOf } from './scale/report.js';
import { startDatabases } from './servers/databases.js';
import { type NotRun, startFleet, type Wanted } from './servers/fleet.js';
import { installNode, type NodeBinary, nodeAt } from './servers/node-binary.js';
import { goalConcurrency, subjects } from './servers/subject.js';
import { soakTable } from './soak/report.js';
import { type SoakReport, soak, soakedWorks } from './soak/soak.js';

/** How long npm may take for a second Node, in milliseconds: if nobody asked for one, and if somebody did. */
const INSTALL_MS = 45_000;
const GIVEN_INSTALL_MS = 300_000;

/** The numbers of records for the growth. `npm run scale` measures more of them. */
const SIZES = [10_000, 100_000];
const GROWTH_CALLS = 1_000;

/** What the rounds compare in a second Node. */
const OTHER_NODE_KINDS: readonly string[] = ['yardstick', 'guarded'];

const options = optionsOrExit(readOptions, usage);
const databases = await startDatabases();
const load = new Load();
const notRun: NotRun[] = [];
try {
  const report: BenchReport = {
    ...(await part('counts', counts, { counts: [] })),
    ...(await part('rounds', rounds, { nodes: [] })),
    ...(await part('processes', processes, { processes: [] })),
    ...(await part('soak', soaks, { soaks: [] })),
    ...(await part('growth', growth, { growth: [] })),
    notRun,
  };
  printGoals(report);
  for (const { name, reason } of notRun) console.log(`\n${name}: not run (${reason})`);
  if (options.folder !== undefined) await writeFiles(options.folder, report);
  if (report.soaks.some(({ isFlat, failures }) => !isFlat || failures > 0)) process.exitCode = 1;
} finally {
  load.stop();
  await databases.stop();
}

async function part<T>(name: Part, measure: () => Promise<T>, otherwise: T): Promise<T> {
  return options.parts.includes(name) ? measure() : otherwise;
}

async function counts(): Promise<Pick<BenchReport, 'counts' | 'transactionPromises'>> {
  progress('counting');
  const node = nodeAt(process.execPath);
  const engines = options.engines.filter((engine) => engine !== 'sqlite' || !node.noSqlite);
  const counted = { counts: await countAll(databases, { engines, calls: options.countedCalls }) };
  if (!canCountFsyncs()) notRun.push({ name: 'fsyncs', reason: 'no strace' });
  print(countsTable(counted));
  if (!engines.includes('sqlite')) return counted;
  return { ...counted, transactionPromises: await countTransaction(await databases.create('sqlite')) };
}

async function rounds(): Promise<Pick<BenchReport, 'nodes'>> {
  const own = nodeAt(process.execPath);
  const other = await otherNode();
  const chosen = subjects.filter(
    ({ engine, kind }) => options.engines.includes(engine) && options.kinds.includes(kind),
  );
  const wanted: Wanted[] = chosen.map((subject) => ({ subject, node: own }));
  if (other) {
    const compared = chosen.filter(({ kind }) => OTHER_NODE_KINDS.includes(kind));
    wanted.push(...compared.map((subject) => ({ subject, node: other.binary })));
  }
  progress('starting the servers');
  const fleet = await startFleet(databases, wanted);
  notRun.push(...fleet.notRun);
  try {
    const { concurrencies } = options;
    const series = await measureRounds(load, fleet.members, {
      ...options,
      concurrenciesOf: (node) => (node === own.version ? concurrencies : otherConcurrencies(concurrencies)),
      onStep: progress,
    });
    const nodes: NodeRounds[] = [own, ...(other ? [other.binary] : [])].map(({ version }) => ({
      node: version,
      series: series.filter(({ node }) => node === version),
    }));
    for (const node of nodes) print(roundsTables(node));
    if (nodes.length > 1) print(nodesTable(nodes));
    return { nodes };
  } finally {
    await fleet.stop();
    await other?.remove();
  }
}

/** The second Node is measured at one concurrency only, so that the benchmark stays short. */
function otherConcurrencies(concurrencies: readonly number[]): readonly number[] {
  return concurrencies.includes(goalConcurrency) ? [goalConcurrency] : concurrencies.slice(0, 1);
}

/** Returns the second Node, unless none is wanted or none can be had. */
async function otherNode(): Promise<{ binary: NodeBinary; remove(): Promise<void> } | undefined> {
  const { node, isNodeGiven, betterSqlite3 } = options;
  if (node === 'none' || process.version.startsWith(`v${node}.`)) return undefined;
  if (!/^\d+$/.test(node)) return { binary: nodeAt(node, betterSqlite3), remove: async () => {} };
  progress(`installing Node ${node}`);
  try {
    return await installNode(node, isNodeGiven ? GIVEN_INSTALL_MS : INSTALL_MS);
  } catch (error) {
    notRun.push({ name: `Node ${node}`, reason: (error as Error).message });
    return undefined;
  }
}

async function processes(): Promise<Pick<BenchReport, 'processes'>> {
  if (!options.engines.includes('postgres')) return { processes: [] };
  const series = await measureProcesses(databases, load, { ...options, onStep: progress });
  print(processesTable(series));
  return { processes: series };
}

async function soaks(): Promise<Pick<BenchReport, 'soaks'>> {
  const reports: SoakReport[] = [];
  for (const engine of options.engines) {
    for (const work of soakedWorks) {
      progress(`soak of ${engine}: ${work}`);
      const report = await soak(databases, load, { engine, work, calls: options.soakCalls });
      // A long soak shows its result before the next one starts.
      print(soakTable(report));
      reports.push(report);
    }
  }
  return { soaks: reports };
}

async function growth(): Promise<Pick<BenchReport, 'growth'>> {
  const all: ScaleReport[] = [];
  for (const engine of options.engines) {
    const onStep = (step: string) => progress(`${engine}: ${step}`);
    const reports = await measureSizes(databases, engine, { sizes: SIZES, calls: GROWTH_CALLS, onStep });
    all.push(...reports);
    print(tablesOf(reports));
  }
  return { growth: all };
}

function printGoals(report: BenchReport): void {
  const { nodes } = report;
  const counted = countGoals(report.counts, report.transactionPromises);
  if (counted.length > 0) {
    print(goalsTable('goals: promises / timers / abort controllers', [{ title: 'counted', goals: counted }]));
  }
  if (nodes.length > 0) {
    const columns = (check: typeof cpuGoals) =>
      nodes.map(({ node, series }) => ({ title: node, goals: check(series) }));
    print(goalsTable('goals: CPU per call, 32 concurrent', columns(cpuGoals)));
    print(goalsTable('goals: calls/s, 32 concurrent', columns(speedGoals)));
  }
  const grown = growthGoals(report.growth);
  if (grown.length > 0) print(goalsTable('goals: size and growth', [{ title: 'measured', goals: grown }]));
}

function print(text: string): void {
  progress('');
  console.log(`\n${text}`);
}

async function writeFiles(folder: string, report: BenchReport): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'bench.json'), `${JSON.stringify(toJson(report, new Date()), null, 2)}\n`);
  await writeFile(join(folder, 'bench.svg'), chartOf(report.nodes));
}
