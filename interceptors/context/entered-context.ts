import { type Context, storage } from './copies.js';

/** What stands in place of a context until the context is known. */
interface OpenContext extends Context {
  key: symbol;
  value: unknown;
  around: Context | undefined;
}

/**
 * A context that the running function continues in, although its values are not known yet. A query builder begins a
 * transaction by one call and runs the work of the application later. That work must find the transaction.
 */
export class EnteredContext {
  readonly #outer = storage.getStore();
  readonly #context: OpenContext = {
    key: Symbol('a transaction that begins'),
    value: undefined,
    around: this.#outer,
  };

  /**
   * Continues the running function in the new context, with everything that the function awaits and starts from now on.
   * A function that already waits for the running one stays in its own context.
   */
  enter(): void {
    storage.enterWith(this.#context);
  }

  /** Gives the new context the values of the context in which this method is called. Before, it has the old values. */
  become(): void {
    const current = storage.getStore();
    if (current && current !== this.#context) Object.assign(this.#context, current);
  }

  /** Continues the running function in the context in which this object was made. */
  leave(): void {
    storage.enterWith(this.#outer);
  }
}
