/**
 * An AbortSignal that is created when its `signal` is first read. Most calls end without a reader, and an
 * AbortController costs more than the rest of their bookkeeping.
 */
export class LazySignal {
  #controller: AbortController | undefined;
  #isAborted = false;
  #reason: unknown;

  /** Whether `abort` was called. Does not create the signal. */
  get isAborted(): boolean {
    return this.#isAborted;
  }

  /** The AbortSignal. The first read creates it. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /**
   * Aborts the signal. Only the first call has an effect.
   * @param reason the reason of the AbortSignal. Default: an AbortError.
   */
  abort(reason?: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
