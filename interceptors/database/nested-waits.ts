import type { MaybePromise } from '../timing/maybe-promise.js';
import { UnitOfWorkError } from './errors.js';

/** A savepoint in which a nested transaction may run. */
export interface OuterSavepoint {
  /** The error of the first statement that failed. */
  failure: Error | undefined;
  /** Whether the current asynchronous context is inside the running nested transaction. */
  readonly isInNested: boolean;
  /** Waits for the end of the running nested transaction, with or without success, and then calls `next` at once. */
  nestedEnd(next: () => void): Promise<void>;
}

/** A statement or a transaction that waits for the running nested transaction to end. */
interface Waiting {
  /** Gives the statement or the transaction up. */
  fail(reason: Error): void;
}

/**
 * The statements and the transactions of one savepoint that wait for its nested transaction to end. If the nested
 * transaction itself waits for one of them, neither could continue, so that one fails at once.
 */
export class NestedWaits {
  readonly #outer: OuterSavepoint;
  readonly #waiting = new Set<Waiting>();

  constructor(outer: OuterSavepoint) {
    this.#outer = outer;
  }

  /** The number of statements and transactions that wait. */
  get count(): number {
    return this.#waiting.size;
  }

  /**
   * Runs `run` when no nested transaction runs any more.
   * @returns the result of `run`. Rejects with a UnitOfWorkError if the nested transaction waits for this result, and with
   *   the reason of `failAll`
   */
  run<T>(run: () => MaybePromise<T>): Promise<T> {
    let waiting: Waiting | undefined;
    const result = new WaitingResult<T>((resolve, reject) => {
      const fail = (reason: Error) => {
        if (!this.#waiting.delete(own)) return;
        this.#outer.failure ??= reason;
        reject(reason);
      };
      const own = { fail };
      waiting = own;
      this.#waiting.add(own);
      this.#outer
        .nestedEnd(() => {
          if (this.#waiting.delete(own)) resolve(run());
        })
        .catch(reject);
    });
    return result.watch(() => {
      if (this.#outer.isInNested) waiting?.fail(waitsForItself());
    });
  }

  /** Fails all statements and transactions that wait. */
  failAll(reason: Error): void {
    for (const waiting of [...this.#waiting]) waiting.fail(reason);
  }
}

/**
 * The result of a statement, or of a transaction, that waits for a nested transaction to end. It notices when code starts
 * to wait for it, because the nested transaction itself must not wait for it.
 */
export class WaitingResult<T> extends Promise<T> {
  #onAwait: (() => void) | undefined;

  /** The promises that `then` returns are ordinary promises. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** @param onAwait called, in the asynchronous context of the waiting code, when code starts to wait for the result */
  watch(onAwait: () => void): this {
    this.#onAwait = onAwait;
    return this;
  }

  /** Calls the function of `watch`. */
  awaited(): void {
    this.#onAwait?.();
  }

  /** Returns the converted result. Only code that waits for the converted result starts to wait for this one. */
  map<U>(convert: (value: T) => U): WaitingResult<U> {
    const mapped = new WaitingResult<U>((resolve, reject) => {
      super.then(convert).then(resolve, reject);
    });
    return mapped.watch(() => this.awaited());
  }

  /** `await`, `Promise.all` and the like also call this method. */
  // biome-ignore lint/suspicious/noThenProperty: a promise has this method, and only its call shows who waits.
  override then<A = T, B = never>(
    onResult?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.awaited();
    return super.then(onResult, onError);
  }
}

function waitsForItself(): Error {
  return new UnitOfWorkError(
    'a nested transaction waits for a statement of its outer transaction, and this statement waits for the end of the nested transaction; use the handle of the nested transaction inside of it, or wait for the statement outside of it',
  );
}
