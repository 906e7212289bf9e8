import type { Series } from '../report/statistics.js';
import type { Member } from '../servers/fleet.js';
import type { ServerProcess } from '../servers/server-process.js';
import { type Subject, type Work, worksOf } from '../servers/subject.js';
import type { Load } from './load.js';

/** How the rounds are run. */
export interface RoundOptions {
  /** Rounds that are measured, after one round to warm up. */
  readonly rounds: number;
  /** How long each server does each work in a round, in milliseconds. The round to warm up takes twice as long. */
  readonly durationMs: number;
  readonly concurrencies: readonly number[];
  readonly works: readonly Work[];
  /** Called at the start of each round; 0 is the round to warm up. */
  readonly onRound?: (round: number) => void;
}

/**
 * Measures every server with every work in each round. The servers do each work one after another. The order rotates
 * from round to round, so that slow moments of the machine do not always affect the same server.
 */
export async function measureRounds(
  load: Load,
  members: readonly Member[],
  { rounds, durationMs, concurrencies, works, onRound }: RoundOptions,
): Promise<Series[]> {
  const allSeries = seriesOf(members, concurrencies, works);
  for (let round = 0; round <= rounds; round++) {
    onRound?.(round);
    for (const group of groups(allSeries)) {
      for (const series of rotated(group, round)) {
        const { subject, work, concurrency } = series;
        const { server } = members.find((member) => member.subject === subject) as Member;
        await prime(load, server, subject, concurrency);
        const isWarmUp = round === 0;
        const totalMs = isWarmUp ? 2 * durationMs : durationMs;
        const measure = await load.measure(server, { work, concurrency, durationMs: totalMs });
        if (!isWarmUp) series.measures.push(measure);
      }
    }
  }
  return allSeries;
}

function seriesOf(
  members: readonly Member[],
  concurrencies: readonly number[],
  works: readonly Work[],
): Series[] {
  return concurrencies.flatMap((concurrency) =>
    works.flatMap((work) =>
      members
        .filter(({ subject }) => worksOf(subject).includes(work))
        .map(({ subject }) => ({ subject, work, concurrency, measures: [] })),
    ),
  );
}

const PRIMING_CALLS = 40;
const MAX_PRIMING_CONCURRENCY = 40;

/**
 * Makes some calls that are not measured. A pool of Postgres closes its idle connections while other servers are measured,
 * and to open them again costs more CPU than many calls.
 */
async function prime(
  load: Load,
  server: ServerProcess,
  subject: Subject,
  concurrency: number,
): Promise<void> {
  const replay: Work = 'ReceiveStock, hot replay';
  // New keys would change which keys the next cold replays repeat.
  const work = worksOf(subject).includes(replay) ? replay : 'ReceiveStock, new key';
  await load.run(server, {
    work,
    concurrency: Math.min(concurrency, MAX_PRIMING_CONCURRENCY),
    maxCalls: PRIMING_CALLS,
  });
}

/** The servers that do the same work on the same engine are measured one directly after another. */
function groups(allSeries: readonly Series[]): Series[][] {
  const byName = new Map<string, Series[]>();
  for (const series of allSeries) {
    const name = `${series.concurrency} ${series.work} ${series.subject.engine}`;
    byName.set(name, [...(byName.get(name) ?? []), series]);
  }
  return [...byName.values()];
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}
