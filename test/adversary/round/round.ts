import { setTimeout as pause } from 'node:timers/promises';
import { poll } from '../../helpers/waiting/poll.js';
import { readTables } from '../database/tables.js';
import type { Arena } from '../faults/fault.js';
import type { Execution, RoundHistory } from '../judge/history.js';
import { judge } from '../judge/judge.js';
import type { Violation } from '../judge/rule.js';
import { Load } from '../load/load.js';
import { type JournalLine, readJournal, steadyMs } from '../server/journal.js';
import { STOCK } from '../server/settings.js';
import { LEASE_MS, openArena, type RoundPlan } from './arena.js';
import { CleanUps } from './clean-up.js';
import { countEvents } from './count-events.js';

/** How long a round lasts, in milliseconds. */
export interface RoundLength {
  /** The faults strike for at least this time. */
  readonly minMs: number;
  /** The faults strike for at most this time, also if a required event has not happened. */
  readonly maxMs: number;
}

/** The results of a round. */
export interface RoundOutcome {
  readonly history: RoundHistory;
  readonly violations: readonly Violation[];
  /** How often each event has happened. */
  readonly events: Readonly<Record<string, number>>;
  /** The required events that have not happened. */
  readonly missing: readonly string[];
}

const DEFAULT_RECOVERY_MS = LEASE_MS + 30_000;

/**
 * Runs the load against the servers while a fault strikes, then judges the histories of the clients and the content of
 * the database.
 */
export async function runRound(plan: RoundPlan, length: RoundLength): Promise<RoundOutcome> {
  const cleanUps = new CleanUps();
  try {
    return await run(plan, length, cleanUps);
  } finally {
    await cleanUps.run();
  }
}

async function run(plan: RoundPlan, length: RoundLength, cleanUps: CleanUps): Promise<RoundOutcome> {
  const { fault, recoveryMs = DEFAULT_RECOVERY_MS } = plan;
  const { arena, url, journals } = await openArena(plan, cleanUps);
  const { servers } = arena;
  const load = new Load(
    servers.map(({ address }) => address),
    plan.random,
  );
  cleanUps.teardown(() => load.close());
  const { attempts } = load.caller;
  const journal = () => journals.flatMap(readJournal);
  const events = () => countEvents(arena.events.all(), attempts, journal());
  const missing = () => {
    const counted = events();
    return fault.requires.filter((name) => !counted[name]);
  };
  await poll('the servers answer the first calls', () => attempts.length >= 20);
  const beganAt = steadyMs();
  while (!isOver(steadyMs() - beganAt, length, missing)) await strike(plan, arena);
  fault.restore?.(arena);
  const faultsEndedAt = steadyMs();
  // The recovery must not hide a late result, so the clients wait longer than the judge allows.
  await load.finish(recoveryMs + 5_000);
  await load.confirm();
  const tables = await (fault.delaysPurge ? readTables(url()) : tablesWithoutLeftovers(url));
  const history: RoundHistory = {
    ...{ operations: load.operations.all, attempts, tables, faultsEndedAt },
    executions: executionsOf(journal()),
    stockPerItem: STOCK,
    recoveryMs,
    ...(fault.leavesLeases && { quietLeaseMs: LEASE_MS }),
    ...(fault.delaysPurge && { mayKeepExpired: true }),
    crashes: servers.flatMap(({ crashes }) => crashes),
  };
  return { history, violations: judge(history), events: events(), missing: missing() };
}

function isOver(elapsedMs: number, { minMs, maxMs }: RoundLength, missing: () => string[]): boolean {
  return elapsedMs >= maxMs || (elapsedMs >= minMs && missing().length === 0);
}

/** Strikes once and pauses. A strike may fail because of the fault itself, for example of the previous one. */
async function strike({ fault, random }: RoundPlan, arena: Arena): Promise<void> {
  try {
    await fault.strike(arena);
    arena.events.add('strikes');
  } catch (error) {
    arena.events.add('failed strikes');
    if (process.env.ADVERSARY_DEBUG) console.error(`a strike failed: ${error}`);
    await pause(100);
  }
  await pause(random() * fault.pauseMs);
}

/** The pruner deletes expired records soon after their expiry. The last keys with a short retention must expire first. */
async function tablesWithoutLeftovers(url: () => string) {
  let tables = await readTables(url());
  const until = performance.now() + 15_000;
  while (tables.leftovers > 0 && performance.now() < until) {
    await pause(250);
    tables = await readTables(url());
  }
  return tables;
}

function executionsOf(journal: readonly JournalLine[]): Execution[] {
  const ends = new Map(journal.flatMap((line) => (line.type === 'end' ? [[line.id, line.at] as const] : [])));
  return journal.flatMap((line) => {
    if (line.type !== 'start') return [];
    const { id, attempt, scope, method, account, at } = line;
    return [{ id, attempt, scope, method, account, startedAt: at, endedAt: ends.get(id) }];
  });
}
