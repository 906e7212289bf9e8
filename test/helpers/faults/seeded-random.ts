/** Numbers from 0 to 1, the same for the same seed. */
export type Random = () => number;

export function seededRandom(state: number): Random {
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Cards that are dealt by chance, shuffled anew whenever all are dealt: what is in it comes for certain, and as
 * often as it should.
 */
export class Deck<Card extends string> {
  readonly #random: Random;
  readonly #cards: readonly Card[];
  #left: Card[] = [];

  /** @param counts how often each card is in it */
  constructor(random: Random, counts: Readonly<Partial<Record<Card, number>>>) {
    this.#random = random;
    const entries = Object.entries(counts) as [Card, number][];
    this.#cards = entries.flatMap(([card, count]) => Array.from({ length: count }, () => card));
  }

  deal(): Card {
    if (this.#left.length === 0) this.#left = [...this.#cards];
    const [card] = this.#left.splice(Math.floor(this.#random() * this.#left.length), 1);
    return card as Card;
  }
}
