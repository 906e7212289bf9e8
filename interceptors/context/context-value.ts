import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The only AsyncLocalStorage of the library. On Node 20 each instance adds a cost to every promise of the process, so
 * all values share one instance.
 */
const storage = new AsyncLocalStorage<Context>();

/** One value of an asynchronous context. The context around it has the other values. */
interface Context {
  readonly of: ContextValue<unknown>;
  readonly value: unknown;
  readonly around: Context | undefined;
}

/** A value that follows the asynchronous context, like a variable of an AsyncLocalStorage of its own. */
export class ContextValue<T> {
  /** The name of the value in a debugger. */
  readonly description: string;

  constructor(description: string) {
    this.description = description;
  }

  /** Returns the value of the current asynchronous context, or undefined outside of `run`. */
  get(): T | undefined {
    let context = storage.getStore();
    while (context && context.of !== this) context = context.around;
    return context?.value as T | undefined;
  }

  /** Runs `work`, and everything that `work` starts, in a context in which the value is `value`. */
  run<R>(value: T, work: () => R): R {
    return storage.run({ of: this, value, around: storage.getStore() }, work);
  }
}
