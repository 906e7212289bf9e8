import { markdownTable } from '../adversary/report.js';
import type { FuzzOptions } from './options.js';
import type { RunReport } from './run-all.js';
import { type Outcome, runTarget } from './run-target.js';
import type { Target } from './target.js';
import { targets } from './targets/index.js';

/** The maximum number of inputs after which a target must have found its planted bug. */
const MAX_INPUTS = 5_000;
/** Within this time a target must find its planted bug, in milliseconds. */
const MAX_MS = 60_000;

/** How a planted bug was found. */
export interface Finding extends Outcome {
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** Runs a target with its planted bug until the target finds the bug. Resolves to undefined if it does not. */
export async function findBug(
  target: Target,
  seed: number,
  postgresUrl?: string,
): Promise<Finding | undefined> {
  const beganAt = performance.now();
  const plan = { seed, planted: true, runs: MAX_INPUTS, maxMs: MAX_MS, ...(postgresUrl && { postgresUrl }) };
  const outcome = await runTarget(target, plan);
  return outcome.failure && { ...outcome, durationMs: performance.now() - beganAt };
}

/** Runs every target with its planted bug and reports how many inputs the target needed. */
export async function runPlanted(
  options: FuzzOptions,
  postgresUrl: string,
  log: (line: string) => void,
): Promise<RunReport> {
  const rows: (string | number)[][] = [];
  for (const name of options.targets) {
    const target = targets[name] as Target;
    if (target.lacks?.({ planted: true, postgresUrl, count: () => {} }) !== undefined) continue;
    const finding = await findBug(target, options.seed, postgresUrl);
    const found = finding ? [finding.runs, (finding.durationMs / 1_000).toFixed(1)] : ['**not found**', ''];
    rows.push([target.planted, target.title, ...found]);
    log(`${name}: ${finding ? `found: ${(finding.failure?.error as Error)?.message}` : 'NOT FOUND'}`);
  }
  const text = `Seed ${options.seed}:\n\n${markdownTable(['planted bug', 'target', 'inputs', 'seconds'], rows)}`;
  return { text, isProof: rows.every((row) => row.at(-1) !== '') };
}
