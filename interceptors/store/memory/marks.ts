import type { StoreMarks } from '../store.js';

/** The marks of a store in memory. All servers on such a store have the same version. */
export class MemoryMarks implements StoreMarks {
  readonly #values = new Map<string, number>();
  readonly #latestExpiry: () => number;

  /** @param latestExpiry returns the latest expiry of a record, or 0 */
  constructor(latestExpiry: () => number) {
    this.#latestExpiry = latestExpiry;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  find(name: string): number | undefined {
    return this.#values.get(name);
  }

  async set(name: string, value: number): Promise<number> {
    const kept = this.#values.get(name) ?? value;
    this.#values.set(name, kept);
    return kept;
  }

  async isEmpty(): Promise<boolean> {
    return this.#latestExpiry() === 0;
  }

  async refuseEarlierVersions(): Promise<number> {
    return this.#latestExpiry();
  }
}
