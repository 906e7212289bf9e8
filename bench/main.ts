import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startCluster } from '../test/helpers/databases/postgres-cluster.js';
import { format, median, ratio } from './comparison.js';
import { type Measure, measure } from './round.js';
import { Subject } from './subject.js';
import type { Variant } from './variant.js';
import { prepare, type WorkName } from './work.js';

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const CALLS = Number(process.env.CALLS ?? 800);
const CONCURRENCY = 32;

/** A row of the report: the work of a subject compared with the work of a baseline. */
interface Comparison {
  readonly subject: string;
  readonly work: WorkName;
  readonly baseline: string;
  readonly baselineWork: WorkName;
}

const executing = (subject: string, baseline: string): Comparison[] =>
  (['ReceiveStock, new keys', 'PlaceOrder, new keys'] as const).map((work) => ({
    subject,
    work,
    baseline,
    baselineWork: work,
  }));

const replaying = (subject: string, baseline: string): Comparison => ({
  subject,
  work: 'ReceiveStock, replays',
  baseline,
  baselineWork: 'empty handler',
});

const comparisons: readonly Comparison[] = [
  ...executing('SQLite, guarded', 'SQLite, unguarded, a commit each'),
  ...executing('SQLite, guarded', 'SQLite, unguarded, group commit'),
  replaying('SQLite, guarded', 'SQLite, unguarded, a commit each'),
  ...executing('Postgres, guarded', 'Postgres, unguarded'),
  replaying('Postgres, guarded', 'Postgres, unguarded'),
];

const folder = await mkdtemp(join(tmpdir(), 'replay-guard-bench-'));
const cluster = await startCluster();
const subjects: Subject[] = [];
try {
  for (const variant of await variants()) subjects.push(await Subject.start(variant));
  await Promise.all(subjects.map(prepare));
  report(await rounds());
} finally {
  for (const subject of subjects) subject.stop();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
}

async function variants(): Promise<Variant[]> {
  const sqlite = (name: string) => `sqlite:${join(folder, name)}`;
  return [
    {
      name: 'SQLite, unguarded, a commit each',
      databaseUrl: sqlite('each.db'),
      guarded: false,
      groupLimit: 1,
    },
    { name: 'SQLite, unguarded, group commit', databaseUrl: sqlite('group.db'), guarded: false },
    { name: 'SQLite, guarded', databaseUrl: sqlite('guarded.db'), guarded: true },
    { name: 'Postgres, unguarded', databaseUrl: await postgres('unguarded'), guarded: false },
    { name: 'Postgres, guarded', databaseUrl: await postgres('guarded'), guarded: true },
  ];
}

async function postgres(name: string): Promise<string> {
  const client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  return Object.assign(new URL(cluster.url), { pathname: name }).href;
}

/** Runs all work of all subjects once per round. So a slow phase of the machine affects all subjects. */
async function rounds(): Promise<Map<string, Measure[]>> {
  const measures = new Map<string, Measure[]>();
  const measured = comparisons.flatMap(({ subject, work, baseline, baselineWork }) => [
    [subject, work] as const,
    [baseline, baselineWork] as const,
  ]);
  const distinct = new Map(measured.map((pair) => [pair.join(': '), pair]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [key, [name, work]] of distinct) {
      const subject = subjects.find(({ variant }) => variant.name === name);
      if (!subject) continue;
      const result = await measure(subject, work, CALLS, CONCURRENCY);
      // The first round is a warm-up.
      if (round > 0) measures.set(key, [...(measures.get(key) ?? []), result]);
    }
  }
  return measures;
}

function report(measures: Map<string, Measure[]>): void {
  const of = (name: string, work: WorkName) => measures.get(`${name}: ${work}`) ?? [];
  console.log(
    `${ROUNDS} interleaved rounds of ${CALLS} calls, ${CONCURRENCY} at a time; median (min to max)\n`,
  );
  for (const { subject, work, baseline, baselineWork } of comparisons) {
    const [own, base] = [of(subject, work), of(baseline, baselineWork)];
    console.log(`${subject}: ${work}\n  against ${baseline}: ${baselineWork}`);
    console.log(`  calls/s        ${format(ratio(own, base, 'callsPerSecond'))}`);
    console.log(`  CPU per call   ${format(ratio(own, base, 'cpuMicrosPerCall'))}`);
    const absolute = (figure: keyof Measure) =>
      [own, base].map((measures) => median(measures.map((m) => m[figure])).toFixed(0));
    console.log(
      `  (${absolute('callsPerSecond').join(' to ')} calls/s, ${absolute('cpuMicrosPerCall').join(' to ')} us)\n`,
    );
  }
}
