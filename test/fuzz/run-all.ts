import { inspect } from 'node:util';
import { markdownTable } from '../adversary/report.js';
import { addToCorpus } from './inputs/corpus.js';
import { printPlain } from './inputs/plain-data.js';
import type { FuzzOptions } from './options.js';
import { type Outcome, replayCommand, runTarget } from './run-target.js';
import type { Target } from './target.js';
import { targets } from './targets/index.js';

/** The maximum time of one round of a target, in milliseconds. The targets run in turn. */
const ROUND_MS = 20_000;

/** The results of a run, as a report in Markdown. */
export interface RunReport {
  readonly text: string;
  /** Whether no input broke a rule, and every required event happened. */
  readonly isProof: boolean;
}

/** The sum of the rounds of one target. */
interface Result {
  readonly name: string;
  readonly target: Target;
  rounds: number;
  inputs: number;
  readonly events: Record<string, number>;
  readonly failures: string[];
}

/** Runs rounds of all targets in turn until the time is over. Each target runs at least once. */
export async function runAll(
  options: FuzzOptions,
  postgresUrl: string,
  log: (line: string) => void,
): Promise<RunReport> {
  const notRun: string[] = [];
  const results = options.targets.flatMap((name): Result[] => {
    const target = targets[name] as Target;
    const lacking = target.lacks?.({ planted: false, postgresUrl, count: () => {} });
    if (lacking !== undefined) notRun.push(`- ${target.title}: this machine lacks ${lacking}`);
    return lacking === undefined ? [{ name, target, rounds: 0, inputs: 0, events: {}, failures: [] }] : [];
  });
  const totalMs = options.minutes * 60_000;
  const roundMs = Math.min(ROUND_MS, totalMs / results.length);
  const until = performance.now() + totalMs;
  let seed = options.seed;
  for (let round = 0; round < results.length || performance.now() < until; round++) {
    const result = results[round % results.length] as Result;
    const inputs =
      options.path === undefined ? { runs: 1_000_000_000, maxMs: roundMs } : { runs: 1, path: options.path };
    const plan = { seed, postgresUrl, planted: false, ...inputs };
    add(result, await runTarget(result.target, plan), seed, options.keep, log);
    if (options.path !== undefined) break;
    seed = (seed + 1) | 0;
  }
  return report(options, results, notRun);
}

function add(
  result: Result,
  { runs, events, failure }: Outcome,
  seed: number,
  keep: boolean,
  log: (line: string) => void,
): void {
  result.rounds++;
  result.inputs += runs;
  for (const [event, times] of Object.entries(events))
    result.events[event] = (result.events[event] ?? 0) + times;
  log(`${result.name}, seed ${seed}: ${runs} inputs${failure ? ', A RULE IS BROKEN' : ''}`);
  if (!failure) return;
  const why = failure.error instanceof Error ? failure.error.stack : inspect(failure.error);
  log(`${why}\n${printPlain(failure.input)}`);
  log(replayCommand(result.name, seed, failure));
  if (keep) log(`kept as ${addToCorpus(result.name, `seed-${seed}`, failure.input)}`);
  const what = failure.error instanceof Error ? failure.error.message : inspect(failure.error);
  result.failures.push(`- ${what.split('\n')[0]}: \`${replayCommand(result.name, seed, failure)}\``);
}

function report(options: FuzzOptions, results: readonly Result[], notRun: readonly string[]): RunReport {
  const failures = results.flatMap((result) => result.failures);
  const missing =
    options.path === undefined
      ? results.flatMap(({ target, events }) =>
          target.requires.filter((event) => !events[event]).map((event) => `- ${target.title}: no ${event}`),
        )
      : [];
  const listed = (events: Readonly<Record<string, number>>) =>
    Object.entries(events)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([event, times]) => `${times} ${event}`)
      .join(', ');
  const rows = results.map(({ target, rounds, inputs, events, failures: found }) => [
    ...[target.title, rounds, inputs, listed(events), found.length],
  ]);
  const sum = (column: number) => rows.reduce((total, row) => total + Number(row[column]), 0);
  const section = (title: string, lines: readonly string[]) =>
    `${title}:${lines.length === 0 ? ' none' : `\n\n${lines.join('\n')}`}`;
  const text = [
    `Seed ${options.seed}, ${options.minutes} minutes:`,
    markdownTable(
      ['target', 'rounds', 'inputs', 'events', 'broken rules'],
      [...rows, ['**all**', sum(1), sum(2), '', sum(4)]],
    ),
    section('Inputs that break a rule', failures),
    section('Required events that did not happen', missing),
    section('Not run', notRun),
  ].join('\n\n');
  return { text, isProof: failures.length === 0 && missing.length === 0 };
}
