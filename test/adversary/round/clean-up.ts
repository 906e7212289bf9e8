import type { Cleanup } from '../../helpers/databases/postgres.js';

/** Runs clean-up functions in reverse order. A function that fails does not stop the others. */
export class CleanUps implements Cleanup {
  readonly #ends: (() => void | Promise<void>)[] = [];

  teardown(end: () => void | Promise<void>): void {
    this.#ends.push(end);
  }

  /** Runs all functions. @throws AggregateError when functions fail */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (const end of this.#ends.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, `the clean-up failed: ${errors.join('; ')}`);
  }
}
