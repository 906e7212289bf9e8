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
    return storage.run({ of: this, value, around: without(this, storage.getStore()) }, work);
  }
}

/**
 * Returns the context without the value that a new value hides. Otherwise the contexts of work that starts itself again
 * would become longer each time, and would keep all earlier values in memory.
 */
function without(hidden: ContextValue<unknown>, context: Context | undefined): Context | undefined {
  if (!context) return undefined;
  if (context.of === hidden) return context.around;
  const around = without(hidden, context.around);
  return around === context.around ? context : { ...context, around };
}
