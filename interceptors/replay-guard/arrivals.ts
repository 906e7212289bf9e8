/**
 * The longest that a call is held up by one that came before it, in milliseconds: callers may share a connection and a
 * name, and who is calling may never be known.
 */
const LONGEST_MS = 1_000;

/**
 * Lets calls go on in the order in which they came, however long it takes to learn about each: of two that a producer
 * sends one after the other, the second must not be judged before the first is known.
 */
export class Arrivals {
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * Settles as `work` does, but not before what came earlier under the same name. Whoever awaits the returned promise
   * at once goes on before whoever comes later does.
   * @param gone aborted when nobody has to wait for it any more
   */
  inOrder<T>(name: string, work: Promise<T>, gone: AbortSignal): Promise<T> {
    const ordered = after(this.#last.get(name), work, gone);
    const forget = () => {
      if (this.#last.get(name) === ordered) this.#last.delete(name);
    };
    this.#last.set(name, ordered);
    ordered.then(forget, forget);
    return ordered;
  }
}

async function after<T>(
  earlier: Promise<unknown> | undefined,
  work: Promise<T>,
  gone: AbortSignal,
): Promise<T> {
  // Told of by the promise that is returned.
  work.catch(() => {});
  if (earlier && !gone.aborted) await patience(earlier, gone);
  return work;
}

function patience(earlier: Promise<unknown>, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      gone.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, LONGEST_MS);
    gone.addEventListener('abort', done, { once: true });
    earlier.then(done, done);
  });
}
