import { answerRules } from './answer-rules.js';
import { effectRules } from './effect-rules.js';
import type { RoundHistory } from './history.js';
import { retentionRules } from './retention-rules.js';
import type { Violation } from './rule.js';

/** Returns every violation in the history of a round. */
export function judge(history: RoundHistory): Violation[] {
  return [...effectRules, ...answerRules, ...retentionRules].flatMap(([invariant, rule]) =>
    rule(history).map((what) => ({ invariant, what })),
  );
}
