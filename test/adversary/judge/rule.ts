import type { RoundHistory } from './history.js';

/** The invariants that a round is judged by, as in docs/proof.md. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 'lease' | 'process';

/** A broken invariant. */
export interface Violation {
  readonly invariant: Invariant;
  readonly what: string;
}

/** A rule finds the violations of one invariant in a history. */
export type Rule = (history: RoundHistory) => readonly string[];
