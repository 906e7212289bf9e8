import { RepeatingTask } from '../../timing/repeating-task.js';
import type { ReplayGuardObserver } from '../observer.js';
import type { ObservedStore } from './observed-store.js';

const DEFAULT_INTERVAL_MS = 60_000;
/** The maximum number of records that one purge statement deletes. */
const BATCH_SIZE = 500;

/** Deletes expired records at an interval, in batches of bounded size. */
export class Pruner {
  readonly #store: ObservedStore;
  readonly #observer: ReplayGuardObserver;
  readonly #task: RepeatingTask;
  #isStopped = false;

  /** @param intervalMs the pause after a purge, in milliseconds. Default: 60,000. */
  constructor(store: ObservedStore, observer: ReplayGuardObserver, intervalMs = DEFAULT_INTERVAL_MS) {
    this.#store = store;
    this.#observer = observer;
    this.#task = new RepeatingTask({
      run: () => this.#purgeBatch(),
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
    this.#isStopped = true;
    await this.#task.stop();
  }

  /** Resolves to true when the batch was full: more expired records may remain. */
  async #purgeBatch(): Promise<boolean> {
    const purged = await this.#store.purge(BATCH_SIZE);
    this.#observer.recordsPurged(purged);
    if (purged === BATCH_SIZE) return true;
    if (!this.#isStopped) this.#observer.recordsCounted(await this.#store.estimateRecords());
    return false;
  }
}
