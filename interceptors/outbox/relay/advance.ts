import type { Queue } from './queue.js';

/** Most aggregates that one statement advances. */
const MOST_AT_ONCE = 200;

/** The aggregates of a destination in which an event has ended or was parked, so that the turn may be another's. */
export class AggregatesToAdvance {
  readonly #queue: Queue;
  readonly #destination: string;
  #moved = new Set<string>();

  constructor(queue: Queue, destination: string) {
    this.#queue = queue;
    this.#destination = destination;
  }

  add(aggregate: string): void {
    this.#moved.add(aggregate);
  }

  /** Gives the next of each its turn; how many events came due by that. What fails is to be done again. */
  async advance(): Promise<number> {
    const moved = [...this.#moved];
    // What moves from here on may not be seen by what is asked now.
    this.#moved = new Set();
    let advanced = 0;
    try {
      while (moved.length > 0) {
        const some = moved.slice(-MOST_AT_ONCE);
        advanced += await this.#queue.advance(this.#destination, some);
        moved.length -= some.length;
      }
      return advanced;
    } finally {
      for (const aggregate of moved) this.#moved.add(aggregate);
    }
  }
}
