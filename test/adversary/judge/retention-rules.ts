import { isResult } from './answers.js';
import { groupedBy } from './effect-rules.js';
import { nameOf, type RoundHistory } from './history.js';
import type { Invariant, Rule } from './rule.js';

/** The rules on the records in the database. */
export const retentionRules: readonly (readonly [Invariant, Rule])[] = [
  [8, recordsRetained],
  [8, expiredDeleted],
];

/** No record is gone before the expiry that a reply has stated. */
function recordsRetained({ attempts, tables }: RoundHistory): string[] {
  const results = attempts.filter((attempt) => isResult(attempt) && !attempt.isOtherRequest);
  return [...groupedBy(results, ({ operation }) => nameOf(operation))].flatMap(([name, [first]]) => {
    const isLive = (first?.expiresAtMs ?? 0) > tables.nowMs;
    return first && isLive && !tables.retains(first.operation) ? [`${name}: gone before its expiry`] : [];
  });
}

/** Expired records are deleted soon after their expiry. */
function expiredDeleted({ tables, mayKeepExpired }: RoundHistory): string[] {
  if (mayKeepExpired || tables.leftovers === 0) return [];
  return [`${tables.leftovers} expired records were not deleted`];
}
