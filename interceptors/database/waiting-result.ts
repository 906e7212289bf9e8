/**
 * The result of a statement, or of a transaction, that waits for a nested transaction to end. It is told when code
 * starts to wait for the result, because the nested transaction itself must not wait for it.
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
