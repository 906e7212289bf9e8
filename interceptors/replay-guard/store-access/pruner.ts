import { PacedBatches } from '../../timing/paced-batches.js';
import { RepeatingTask } from '../../timing/repeating-task.js';
import type { ReplayGuardObserver } from '../observer.js';
import type { ObservedStore } from './observed-store.js';

const DEFAULT_INTERVAL_MS = 60_000;

/** Deletes expired records at an interval, in batches that leave time for calls. */
export class Pruner {
  readonly #store: ObservedStore;
  readonly #observer: ReplayGuardObserver;
  readonly #task: RepeatingTask;
  readonly #stopped = new AbortController();
  readonly #batches = new PacedBatches();

  /** @param intervalMs the pause after a purge, in milliseconds. Default: 60,000. */
  constructor(store: ObservedStore, observer: ReplayGuardObserver, intervalMs = DEFAULT_INTERVAL_MS) {
    this.#store = store;
    this.#observer = observer;
    this.#task = new RepeatingTask({
      run: () => this.#purgeAll(),
      intervalMs,
      // `ObservedStore` has already reported the error to the observer.
      onError: () => {},
      keepsProcessAlive: false,
    });
  }

  /** Starts the purges. The first purge begins after one interval. */
  start(): void {
    this.#task.start('after-interval');
  }

  /** Resolves when the current batch has ended. No other batch starts. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#task.stop();
  }

  /**
   * Purges batch after batch, each from the position at which the previous one ended. Every run starts from the
   * beginning, so that a record which an earlier run has passed is deleted too.
   */
  async #purgeAll(): Promise<void> {
    const { signal } = this.#stopped;
    await this.#batches.run(async (size, after: string | undefined) => {
      const batch = await this.#store.purge(size, after);
      this.#observer.recordsPurged(batch.purged);
      return batch;
    }, signal);
    if (!signal.aborted) this.#observer.recordsCounted(await this.#store.estimateRecords());
  }
}
