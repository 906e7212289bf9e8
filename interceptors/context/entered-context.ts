import { type Context, storage } from './copies.js';

/** The key of a context that has no value of its own. */
const NOTHING = Symbol('nothing');

/** A context whose values may change. */
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
  readonly #context: OpenContext;
  /** The values before `become`, and after `end`: those of the context in which this object was made. */
  readonly #outer: Context;

  constructor() {
    let around = storage.getStore();
    // Otherwise each transaction that a function begins would add one more context to a chain.
    while (around?.key === NOTHING) around = around.around;
    this.#outer = { key: NOTHING, value: undefined, around };
    this.#context = { ...this.#outer };
  }

  /**
   * Continues the running function in this context, with everything that the function awaits and starts from now on. A
   * function that already waits for the running function stays in its own context.
   */
  enter(): void {
    storage.enterWith(this.#context);
  }

  /** Gives this context the values of the context in which this method is called. */
  become(): void {
    Object.assign(this.#context, storage.getStore());
  }

  /** Gives this context the values from before `become` again, for functions that continue in it. */
  end(): void {
    Object.assign(this.#context, this.#outer);
  }
}
