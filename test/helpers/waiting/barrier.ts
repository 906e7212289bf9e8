/** A gate that a handler waits at until the test opens it; counts who has arrived. */
export class Barrier {
  #arrived = 0;
  #opened = false;
  #open!: () => void;
  readonly #gate = new Promise<void>((resolve) => {
    this.#open = resolve;
  });
  readonly #watchers: { readonly count: number; resolve(): void }[] = [];

  /** How many have come to the gate so far. */
  get arrived(): number {
    return this.#arrived;
  }

  /** Called by who is to be held: resolves when the gate opens, at once if it is open. */
  async pass(): Promise<void> {
    this.#arrived++;
    for (const watcher of this.#watchers) if (this.#arrived >= watcher.count) watcher.resolve();
    if (!this.#opened) await this.#gate;
  }

  /** Resolves when `count` have come to the gate. */
  reached(count = 1): Promise<void> {
    if (this.#arrived >= count) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.push({ count, resolve }));
  }

  /** Lets everybody through, now and later. */
  open(): void {
    this.#opened = true;
    this.#open();
  }
}
