/** A gate at which handlers wait until the test opens it. The barrier counts the handlers that arrived. */
export class Barrier {
  #arrived = 0;
  #opened = false;
  #open!: () => void;
  readonly #gate = new Promise<void>((resolve) => {
    this.#open = resolve;
  });
  readonly #watchers: { readonly count: number; resolve(): void }[] = [];

  /** The number of handlers that have arrived at the gate so far. */
  get arrived(): number {
    return this.#arrived;
  }

  /** Waits at the gate. Resolves when the gate opens, or at once if the gate is open. */
  async pass(): Promise<void> {
    this.#arrived++;
    for (const watcher of this.#watchers) if (this.#arrived >= watcher.count) watcher.resolve();
    if (!this.#opened) await this.#gate;
  }

  /** Resolves when `count` handlers have arrived at the gate. */
  reached(count = 1): Promise<void> {
    if (this.#arrived >= count) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.push({ count, resolve }));
  }

  /** Opens the gate for all present and later handlers. */
  open(): void {
    this.#opened = true;
    this.#open();
  }
}
