import type { Series } from '../report/statistics.js';
import type { Member } from '../servers/fleet.js';
import { goalConcurrency, goalWorks, type Subject, type Work, worksOf } from '../servers/subject.js';
import type { Load } from './load.js';

/** How the rounds are run. */
export interface RoundOptions {
  /** Rounds that are measured. The works of goals are measured three times in each. */
  readonly rounds: number;
  /** How long each server does each work in a round, in milliseconds. On a slow machine a round takes longer. */
  readonly durationMs: number;
  /** Returns how many calls run at the same time at the servers in a version of Node. */
  concurrenciesOf(node: string): readonly number[];
  readonly works: readonly Work[];
  /** The calls of each work with which a server is warmed up. Default: `warmUpCalls`. */
  readonly warmUp?: Partial<Record<Work, number>>;
  /** Called with what is done next. */
  readonly onStep?: (step: string) => void;
}

/**
 * The calls before the first round. The CPU time of a call falls to about a third in the first calls of a server and is flat
 * after about 5,000: until then, the compiler of Node optimises the code.
 */
export const warmUpCalls: Readonly<Record<Work, number>> = {
  'ReceiveStock, new key': 5_000,
  'ReceiveStock, hot replay': 4_000,
  'ReceiveStock, cold replay': 500,
  'ReceiveStock, half duplicates': 1_000,
  'PlaceOrder, new key': 1_000,
};

/** Calls of one measurement at least. With fewer calls, the timers and polls of a server change the CPU time of a call. */
const MIN_CALLS: Readonly<Record<Work, number>> = {
  'ReceiveStock, new key': 250,
  'ReceiveStock, hot replay': 500,
  'ReceiveStock, cold replay': 250,
  'ReceiveStock, half duplicates': 250,
  'PlaceOrder, new key': 64,
};

/** How often a round measures the work and concurrency of a goal, so that the ratio exceeds the noise. */
const GOAL_REPEATS = 3;

/**
 * Warms every server up, then measures it with every work in each round. The servers do each work one after another. The
 * order rotates from round to round, so that slow moments of the machine do not always affect the same server.
 */
export async function measureRounds(
  load: Load,
  members: readonly Member[],
  { rounds, durationMs, concurrenciesOf, works, warmUp = warmUpCalls, onStep }: RoundOptions,
): Promise<Series[]> {
  for (const [index, { subject, servers }] of members.entries()) {
    onStep?.(`warming up server ${index + 1} of ${members.length}`);
    for (const work of works.filter((one) => worksOf(subject).includes(one))) {
      // Each process of a server has its own compiled code.
      const maxCalls = (warmUp[work] ?? 0) * servers.length;
      await load.run(servers, { work, concurrency: goalConcurrency, maxCalls });
    }
  }
  const all = members.flatMap((member) => runsOf(member, concurrenciesOf(member.node), works));
  for (let round = 1; round <= rounds; round++) {
    onStep?.(`round ${round} of ${rounds}`);
    for (const group of groups(all)) {
      for (let repeat = 0; repeat < repeatsOf(group); repeat++) {
        for (const { member, series } of rotated(group, round + repeat)) {
          await prime(load, member, series.concurrency);
          const run = { ...series, durationMs, minCalls: MIN_CALLS[series.work] };
          series.measures.push(await load.measure(member.servers, run));
        }
      }
    }
  }
  return all.map(({ series }) => series);
}

/** One server with one work at one concurrency. */
interface MemberSeries {
  readonly member: Member;
  readonly series: Series;
}

function runsOf(member: Member, concurrencies: readonly number[], works: readonly Work[]): MemberSeries[] {
  const { subject, node, servers } = member;
  const own = works.filter((work) => worksOf(subject).includes(work));
  return concurrencies.flatMap((concurrency) =>
    own.map((work) => ({
      member,
      series: { subject, node, processes: servers.length, work, concurrency, measures: [] },
    })),
  );
}

const PRIMING_CALLS = 40;
const MAX_PRIMING_CONCURRENCY = 40;

/**
 * Makes some calls that are not measured. A pool of Postgres closes its idle connections while other servers are measured,
 * and to open them again costs more CPU than many calls.
 */
async function prime(load: Load, { subject, servers }: Member, concurrency: number): Promise<void> {
  await load.run(servers, {
    work: primingWorkOf(subject),
    concurrency: Math.min(concurrency, MAX_PRIMING_CONCURRENCY),
    maxCalls: PRIMING_CALLS * servers.length,
  });
}

/** New keys would change which keys the next cold replays repeat. */
function primingWorkOf(subject: Subject): Work {
  const replay: Work = 'ReceiveStock, hot replay';
  return worksOf(subject).includes(replay) ? replay : 'ReceiveStock, new key';
}

/** The servers that do the same work on the same engine are measured one directly after another. */
function groups(all: readonly MemberSeries[]): MemberSeries[][] {
  const byName = new Map<string, MemberSeries[]>();
  for (const one of all) {
    const { concurrency, work, subject } = one.series;
    const name = `${concurrency} ${work} ${subject.engine}`;
    byName.set(name, [...(byName.get(name) ?? []), one]);
  }
  return [...byName.values()];
}

function repeatsOf([first]: readonly MemberSeries[]): number {
  const isGoal = first?.series.concurrency === goalConcurrency && goalWorks.includes(first.series.work);
  return isGoal ? GOAL_REPEATS : 1;
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}
