/** Closes resources in the reverse order of their opening. */
export class Closers {
  readonly #closers: (() => Promise<void>)[] = [];
  #closing: Promise<void> | undefined;

  /** Adds a function that closes a resource. It runs before the functions that were added earlier. */
  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Closes every resource once, also when some closers fail. Rejects with the first failure. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.reverse()) await close().catch((error) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}
