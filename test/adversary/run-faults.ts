import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { seededRandom } from '../helpers/faults/seeded-random.js';
import type { Engine } from './engines.js';
import type { Fault } from './faults/fault.js';
import { faults } from './faults/index.js';
import type { Machine } from './machine.js';
import type { AdversaryOptions } from './options.js';
import { addRound, eventList, type FaultResult, faultTable, noResult } from './report.js';
import { runRound } from './round/round.js';

/** The length of one round of the command. */
const LENGTH = { minMs: 8_000, maxMs: 40_000 };

/** A fault on an engine. */
interface Pairing {
  readonly name: string;
  readonly fault: Fault;
  readonly engine: Engine;
  readonly result: FaultResult;
}

/** The results of a run, as a report in Markdown. */
export interface RunReport {
  readonly text: string;
  readonly isProof: boolean;
}

/** Runs rounds of all faults in turn until the time is over. Each fault runs at least once. */
export async function runFaults(
  options: AdversaryOptions,
  machine: Machine,
  log: (line: string) => void,
): Promise<RunReport> {
  const notRun: string[] = [];
  const pairings = options.faults.flatMap((name) => {
    const fault = faults[name] as Fault;
    const lacking = fault.lacks?.(machine);
    if (lacking !== undefined) {
      notRun.push(`- ${fault.title}: this machine lacks ${lacking}`);
      return [];
    }
    const chosen = fault.engines.filter((engine) => options.engines.includes(engine));
    return chosen.map((engine): Pairing => ({ name, fault, engine, result: noResult(fault.title, engine) }));
  });
  const needsPostgres = pairings.some(({ engine }) => engine === 'postgres');
  const cluster = needsPostgres ? await startCluster() : undefined;
  const until = performance.now() + options.minutes * 60_000;
  let seed = options.seed;
  log(
    `at least ${pairings.length} rounds of ${LENGTH.minMs / 1_000} to ${LENGTH.maxMs / 1_000} s: ` +
      `each fault runs once on each engine, also after the ${options.minutes} minutes`,
  );
  try {
    for (let round = 0; round < pairings.length || performance.now() < until; round++) {
      const { name, fault, engine, result } = pairings[round % pairings.length] as Pairing;
      const random = seededRandom(seed);
      const postgresUrl = cluster ? { postgresUrl: cluster.url } : {};
      const outcome = await runRound({ engine, fault, machine, random, ...postgresUrl }, LENGTH);
      addRound(result, outcome, seed);
      const { calls, replays, takeovers } = outcome.events;
      log(
        `${name}, ${engine}, seed ${seed}: ${calls} calls, ${replays ?? 0} replays, ${takeovers ?? 0} takeovers, ` +
          `${outcome.violations.length} violations${outcome.missing.map((event) => `, no ${event}`).join('')}`,
      );
      for (const { invariant, what } of outcome.violations.slice(0, 10))
        log(`  invariant ${invariant}: ${what}`);
      seed = (seed + 1) >>> 0;
    }
  } finally {
    await cluster?.stop();
  }
  return report(options, pairings, notRun);
}

function report(
  options: AdversaryOptions,
  pairings: readonly Pairing[],
  notRun: readonly string[],
): RunReport {
  const results = pairings.map(({ result }) => result);
  const violations = results.flatMap(({ title, engine, violations: found }) =>
    found.map(
      ({ seed, violation }) =>
        `- ${title}, ${engine}, seed ${seed}: ${violation.invariant}: ${violation.what}`,
    ),
  );
  const missing = pairings.flatMap(({ fault, engine, result }) =>
    fault.requires
      .filter((event) => !result.events[event])
      .map((event) => `- ${fault.title}, ${engine}: no ${event}`),
  );
  const section = (title: string, lines: readonly string[]) =>
    `${title}:${lines.length === 0 ? ' none' : `\n\n${lines.join('\n')}`}`;
  const text = [
    `Seed ${options.seed}, ${options.minutes} minutes:`,
    faultTable(results),
    section('Violations', violations),
    section('Required events that did not happen', missing),
    section('Not run', notRun),
    `Other events:\n\n${eventList(results)}`,
  ].join('\n\n');
  return { text, isProof: violations.length === 0 && missing.length === 0 };
}
