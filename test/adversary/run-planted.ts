import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { seededRandom } from '../helpers/faults/seeded-random.js';
import type { Fault } from './faults/fault.js';
import { faults } from './faults/index.js';
import type { Violation } from './judge/rule.js';
import type { Machine } from './machine.js';
import type { AdversaryOptions } from './options.js';
import { type BugName, bugNames, bugs, type PlantedBug } from './planted/bugs.js';
import { markdownTable } from './report.js';
import { runRound } from './round/round.js';
import type { RunReport } from './run-faults.js';

/** How long the faults of one round against a planted bug strike, in milliseconds. */
const ROUND_MS = 3_000;
/** Within this time the judge must find a planted bug, in milliseconds. */
const MAX_MS = 60_000;

/** How a planted bug was found. */
export interface Finding {
  readonly violations: readonly Violation[];
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/**
 * Runs rounds with a planted bug until the judge finds it. Resolves to undefined if 60 seconds were not enough.
 * @param roundMs how long the faults of one round strike, in milliseconds
 */
export async function findBug(
  bug: BugName,
  machine: Machine,
  seed: number,
  postgresUrl?: string,
  roundMs = ROUND_MS,
): Promise<Finding | undefined> {
  const { engine, fault: name, breaks }: PlantedBug = bugs[bug];
  // A round against a bug proves nothing about the fault, so it need not show every event.
  const fault: Fault = { ...(faults[name] as Fault), requires: [] };
  const beganAt = performance.now();
  for (let round = 0; performance.now() - beganAt < MAX_MS; round++) {
    const plan = { engine, fault, machine, random: seededRandom(seed + round), servers: { bug } };
    const outcome = await runRound(
      { ...plan, ...(postgresUrl && { postgresUrl }), recoveryMs: 6_000 },
      { minMs: roundMs, maxMs: roundMs },
    );
    const violations = outcome.violations.filter(({ invariant }) => breaks.includes(invariant));
    if (violations.length > 0) return { violations, durationMs: performance.now() - beganAt };
  }
  return undefined;
}

/** Runs every planted bug and reports which invariant has found it, and after how many seconds. */
export async function runPlanted(
  options: AdversaryOptions,
  machine: Machine,
  log: (line: string) => void,
): Promise<RunReport> {
  const cluster = await startCluster();
  const rows: string[][] = [];
  try {
    for (const name of bugNames) {
      const { title, engine, fault }: PlantedBug = bugs[name];
      if (!options.engines.includes(engine)) continue;
      const finding = await findBug(name, machine, options.seed, cluster.url);
      const invariants = [...new Set(finding?.violations.map(({ invariant }) => String(invariant)))].sort();
      const seconds = finding ? (finding.durationMs / 1_000).toFixed(1) : '';
      rows.push([
        title,
        engine,
        String(faults[fault]?.title),
        invariants.join(', ') || '**not found**',
        seconds,
      ]);
      log(`${name}: ${finding ? `found after ${seconds} s, ${finding.violations[0]?.what}` : 'NOT FOUND'}`);
    }
  } finally {
    await cluster.stop();
  }
  const head = ['planted bug', 'engine', 'fault', 'broken invariants', 'seconds'];
  const text = `Seed ${options.seed}:\n\n${markdownTable(head, rows)}`;
  return { text, isProof: rows.every((row) => row.at(-1) !== '') };
}
