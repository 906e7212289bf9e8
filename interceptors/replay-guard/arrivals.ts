/**
 * Lets calls go on in the order in which they came, however long it takes to learn about each: of two that a producer
 * sends one after the other, the second must not be judged before the first is known.
 */
export class Arrivals {
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * Settles as `work` does, but not before what came earlier under the same name. Whoever awaits the returned promise
   * at once goes on before whoever comes later does.
   */
  inOrder<T>(name: string, work: Promise<T>): Promise<T> {
    const ordered = after(this.#last.get(name), work);
    const forget = () => {
      if (this.#last.get(name) === ordered) this.#last.delete(name);
    };
    this.#last.set(name, ordered);
    ordered.then(forget, forget);
    return ordered;
  }
}

async function after<T>(earlier: Promise<unknown> | undefined, work: Promise<T>): Promise<T> {
  await Promise.allSettled([earlier, work]);
  return work;
}
