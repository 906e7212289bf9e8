import type { Cleanup } from '../helpers/databases/postgres.js';

/** Runs the clean-up functions of a target outside of a test. */
export class CleanUp implements Cleanup {
  readonly #ends: (() => void | Promise<void>)[] = [];

  teardown(end: () => void | Promise<void>): void {
    this.#ends.push(end);
  }

  /** Runs the functions, the last one first. */
  async run(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}
