import type { Queue } from './queue.js';

/** The maximum number of aggregates in one statement. */
const MAX_BATCH_SIZE = 200;

/**
 * Collects the aggregates of a destination in which an event has ended or was parked. In such an aggregate, another
 * event may now be the first.
 */
export class AggregatesToAdvance {
  readonly #queue: Queue;
  readonly #destination: string;
  #aggregates = new Set<string>();

  constructor(queue: Queue, destination: string) {
    this.#queue = queue;
    this.#destination = destination;
  }

  add(aggregate: string): void {
    this.#aggregates.add(aggregate);
  }

  /** Whether no aggregate is collected. */
  get isEmpty(): boolean {
    return this.#aggregates.size === 0;
  }

  /**
   * Makes the parked first events of the collected aggregates due. Resolves to the number of these events.
   * The aggregates of a failed statement stay in the collection.
   */
  async advance(): Promise<number> {
    const remaining = [...this.#aggregates];
    // A running statement may not see the aggregates that are added from now on.
    this.#aggregates = new Set();
    let advanced = 0;
    try {
      while (remaining.length > 0) {
        const batch = remaining.slice(-MAX_BATCH_SIZE);
        advanced += await this.#queue.advance(this.#destination, batch);
        remaining.length -= batch.length;
      }
      return advanced;
    } finally {
      for (const aggregate of remaining) this.#aggregates.add(aggregate);
    }
  }
}
