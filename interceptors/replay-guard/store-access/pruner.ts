import type { ReplayGuardObserver } from '../observer.js';
import type { ObservedStore } from './observed-store.js';

const EVERY_MS = 60_000;
const BATCH = 500;

/** Deletes expired records now and then, a bounded batch at a time. */
export class Pruner {
  readonly #store: ObservedStore;
  readonly #observer: ReplayGuardObserver;
  readonly #timer: NodeJS.Timeout;
  #purging: Promise<void> | undefined;
  #stopped = false;

  /** @param everyMs from the start of one round to the next, in milliseconds */
  constructor(store: ObservedStore, observer: ReplayGuardObserver, everyMs = EVERY_MS) {
    this.#store = store;
    this.#observer = observer;
    this.#timer = setInterval(() => {
      // A round that takes longer than that is not followed by those that it kept from coming.
      this.#purging ??= this.purge().finally(() => {
        this.#purging = undefined;
      });
    }, everyMs).unref();
  }

  /** Purges until nothing expired is left; never rejects. What fails is tried again at the next round. */
  async purge(): Promise<void> {
    try {
      let purged = BATCH;
      while (purged === BATCH && !this.#stopped) {
        purged = await this.#store.purge(BATCH);
        this.#observer.recordsPurged(purged);
      }
      if (!this.#stopped) this.#observer.recordsCounted(await this.#store.estimateRecords());
    } catch {
      // Counted by the store's observer.
    }
  }

  /** Resolves when the batch that is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#purging;
  }
}
