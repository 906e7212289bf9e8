import { methods, nameOf } from './judge/history.js';
import type { Violation } from './judge/rule.js';
import type { RoundOutcome } from './round/round.js';

/** The sum of the rounds of one fault on one engine. */
export interface FaultResult {
  readonly title: string;
  readonly engine: string;
  rounds: number;
  calls: number;
  /** The numbers of operations with a result, with TRANSACTION and with LEASE. */
  keys: { transaction: number; lease: number };
  events: Record<string, number>;
  violations: { readonly seed: number; readonly violation: Violation }[];
}

/** Returns the result of a fault without a round. */
export const noResult = (title: string, engine: string): FaultResult => ({
  ...{ title, engine, rounds: 0, calls: 0, keys: { transaction: 0, lease: 0 }, events: {}, violations: [] },
});

/** Adds a round to the result of its fault. */
export function addRound(
  result: FaultResult,
  { history, violations, events }: RoundOutcome,
  seed: number,
): void {
  result.rounds++;
  result.calls += history.attempts.length;
  const known = new Map(history.attempts.map((attempt) => [nameOf(attempt.operation), attempt.operation]));
  for (const { method } of known.values()) {
    if (method === methods[1]) result.keys.lease++;
    else result.keys.transaction++;
  }
  for (const [name, count] of Object.entries(events))
    result.events[name] = (result.events[name] ?? 0) + count;
  result.violations.push(...violations.map((violation) => ({ seed, violation })));
}

/** Returns a Markdown table. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Returns the table of a run: one row for each fault on each engine, and the sum. */
export function faultTable(results: readonly FaultResult[]): string {
  const head = [
    ...['fault', 'engine', 'rounds', 'strikes', 'calls', 'keys TRANSACTION', 'keys LEASE'],
    ...['replays', 'takeovers', 'commits in doubt', 'violations'],
  ];
  const numbers = ({ rounds, calls, keys, events, violations }: FaultResult) => [
    ...[rounds, events.strikes ?? 0, calls, keys.transaction, keys.lease],
    ...[events.replays ?? 0, events.takeovers ?? 0, events['commits in doubt'] ?? 0, violations.length],
  ];
  const all = results.map(numbers);
  const sum = all[0]?.map((_, column) => all.reduce((total, row) => total + (row[column] ?? 0), 0)) ?? [];
  const rows = results.map((result) => [result.title, result.engine, ...numbers(result)]);
  return markdownTable(head, [...rows, ['**all**', '', ...sum]]);
}

/** Returns the other events of each fault as a list. */
export function eventList(results: readonly FaultResult[]): string {
  const inTable = new Set(['calls', 'replays', 'takeovers', 'commits in doubt', 'strikes']);
  return results
    .map(({ title, engine, events }) => {
      const others = Object.entries(events).filter(([name]) => !inTable.has(name));
      return `- ${title}, ${engine}: ${others.map(([name, count]) => `${count} ${name}`).join(', ')}`;
    })
    .join('\n');
}
