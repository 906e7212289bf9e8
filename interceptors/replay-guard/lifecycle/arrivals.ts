/**
 * The longest that a call is held up by one that came before it, in milliseconds: callers may share a connection and a
 * name, and who is calling may never be known.
 */
const LONGEST_MS = 1_000;

/**
 * The place of a call among those that came under its name. Settles as `work` does, but not before what came earlier.
 * Whoever awaits the returned promise at once goes on before whoever came later does.
 */
export type Place = <T>(work: Promise<T>) => Promise<T>;

/**
 * Lets calls go on in the order in which they came, however long it takes until each is whole and known: of two that a
 * producer sends one after the other, the second must not be judged before the first.
 */
export class Arrivals {
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Takes the place behind what came earlier under the same name.
   * @param gone aborted when the call has ended, so that nobody has to wait for it any more
   */
  enter(name: string, gone: AbortSignal): Place {
    const earlier = this.#last.get(name);
    let pass = () => {};
    const passed = new Promise<void>((resolve) => {
      pass = resolve;
    });
    this.#last.set(name, passed);
    passed.then(() => {
      if (this.#last.get(name) === passed) this.#last.delete(name);
    });
    // Those behind a call that has ended stand behind the one before it all the same.
    const stepOut = () => void patience(earlier).then(pass);
    if (gone.aborted) stepOut();
    else gone.addEventListener('abort', stepOut, { once: true });
    const goOn = () => {
      if (gone.aborted) return;
      gone.removeEventListener('abort', stepOut);
      pass();
    };
    return (work) => {
      const ordered = after(earlier, work, gone);
      ordered.then(goOn, goOn);
      return ordered;
    };
  }
}

async function after<T>(earlier: Promise<void> | undefined, work: Promise<T>, gone: AbortSignal): Promise<T> {
  // Told of by the promise that is returned.
  work.catch(() => {});
  if (!gone.aborted) await patience(earlier, gone);
  return work;
}

function patience(earlier: Promise<void> | undefined, gone?: AbortSignal): Promise<void> {
  if (!earlier) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      gone?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, LONGEST_MS).unref();
    gone?.addEventListener('abort', done, { once: true });
    earlier.then(done);
  });
}
