/** Counts the events of a run by name. */
export class EventCounts {
  readonly #counts = new Map<string, number>();

  /** Adds to the count of an event. */
  add(name: string, count = 1): void {
    this.#counts.set(name, this.of(name) + count);
  }

  /** Returns the count of an event; 0 if the event has not occurred. */
  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Returns all counts by name. */
  all(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
