import { type Context, storage, valueIn } from './copies.js';

/** A value that follows the asynchronous context, like a variable of an AsyncLocalStorage of its own. */
export class ContextValue<T> {
  readonly #key: symbol;

  /** @param key a text that describes the value in a debugger, or the key of a value that all copies of the library share */
  constructor(key: string | symbol) {
    this.#key = typeof key === 'string' ? Symbol(key) : key;
  }

  /** Returns the value of the current asynchronous context, or undefined outside of `run`. */
  get(): T | undefined {
    return valueIn(storage.getStore(), this.#key) as T | undefined;
  }

  /** Runs `work`, and everything that `work` starts, in a context in which the value is `value`. */
  run<R>(value: T, work: () => R): R {
    const key = this.#key;
    return storage.run({ key, value, around: without(key, storage.getStore()) }, work);
  }
}

/**
 * Returns the context without the value that a new value hides. Otherwise the contexts of work that starts itself again
 * would become longer each time, and would keep all earlier values in memory.
 */
function without(hidden: symbol, context: Context | undefined): Context | undefined {
  if (!context) return undefined;
  if (context.key === hidden) return context.around;
  const around = without(hidden, context.around);
  return around === context.around ? context : { ...context, around };
}
