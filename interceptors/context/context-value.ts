import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The only AsyncLocalStorage of the library. On Node 20 each instance adds a cost to every promise of the process, so
 * all values share one instance.
 */
const storage = new AsyncLocalStorage<Readonly<Record<symbol, unknown>>>();

/** A value that follows the asynchronous context, like a variable of an AsyncLocalStorage of its own. */
export class ContextValue<T> {
  readonly #name: symbol;

  /** @param description names the value in a debugger */
  constructor(description: string) {
    this.#name = Symbol(description);
  }

  /** Returns the value of the current asynchronous context, or undefined outside of `run`. */
  get(): T | undefined {
    return storage.getStore()?.[this.#name] as T | undefined;
  }

  /** Runs `work`, and everything that `work` starts, in a context in which the value is `value`. */
  run<R>(value: T, work: () => R): R {
    return storage.run({ ...storage.getStore(), [this.#name]: value }, work);
  }
}
