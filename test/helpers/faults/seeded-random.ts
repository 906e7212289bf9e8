/** Returns a number from 0 (inclusive) to 1 (exclusive). Equal seeds give equal sequences of numbers. */
export type Random = () => number;

/** Creates a pseudo-random generator: a linear congruential generator with the constants of Numerical Recipes. */
export function seededRandom(state: number): Random {
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Draws choices at random and without replacement, and refills when it is empty. Each choice therefore occurs for
 * certain, and exactly as often as its count.
 */
export class BalancedChoices<Choice extends string> {
  readonly #random: Random;
  readonly #choices: readonly Choice[];
  #remaining: Choice[] = [];

  /** @param counts how often each choice occurs in one round */
  constructor(random: Random, counts: Readonly<Partial<Record<Choice, number>>>) {
    this.#random = random;
    const entries = Object.entries(counts) as [Choice, number][];
    this.#choices = entries.flatMap(([choice, count]) => Array.from({ length: count }, () => choice));
  }

  /** Removes a random choice from this round and returns it. */
  next(): Choice {
    if (this.#remaining.length === 0) this.#remaining = [...this.#choices];
    const [choice] = this.#remaining.splice(Math.floor(this.#random() * this.#remaining.length), 1);
    return choice as Choice;
  }
}
