/** What has to be closed at the end, in the reverse order of its opening. */
export class Closers {
  readonly #closers: (() => Promise<void>)[] = [];
  #closing: Promise<void> | undefined;

  /** Adds what is to be closed before everything that was added before it. */
  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Closes everything, once. One that fails does not keep the others open; the first failure is thrown. */
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
