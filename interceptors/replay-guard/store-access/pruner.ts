import { setTimeout as delay } from 'node:timers/promises';
import type { PurgedBatch } from '../../store/store.js';
import { RepeatingTask } from '../../timing/repeating-task.js';
import type { ReplayGuardObserver } from '../observer.js';
import type { ObservedStore } from './observed-store.js';

const DEFAULT_INTERVAL_MS = 60_000;

/** The bounds of the number of records in one batch. */
const MIN_BATCH_SIZE = 10;
const MAX_BATCH_SIZE = 1_000;
const INITIAL_BATCH_SIZE = 100;
/**
 * The intended duration of the statements of one batch, in milliseconds. If the batch blocks calls, calls wait for about
 * this time. Otherwise the time includes round trips, which a small batch would not shorten.
 */
const BLOCKING_BATCH_MS = 3;
const CONCURRENT_BATCH_MS = 30;
/** The pause after a batch, as a multiple of its duration. The pruner so uses at most a quarter of the time. */
const PAUSE_PER_BUSY_MS = 3;

/**
 * Deletes expired records at an interval. A run deletes them in batches, with a pause after each batch in which calls
 * are served. The size of a batch follows the measured duration of the previous one.
 */
export class Pruner {
  readonly #store: ObservedStore;
  readonly #observer: ReplayGuardObserver;
  readonly #task: RepeatingTask;
  readonly #stopped = new AbortController();
  #batchSize = INITIAL_BATCH_SIZE;

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
    let next: string | undefined;
    do {
      const batch = await this.#store.purge(this.#batchSize, next);
      this.#observer.recordsPurged(batch.purged);
      this.#batchSize = nextBatchSize(this.#batchSize, batch);
      next = batch.next;
      if (next !== undefined) await pause(batch.busyMs * PAUSE_PER_BUSY_MS, signal);
    } while (next !== undefined && !signal.aborted);
    if (!signal.aborted) this.#observer.recordsCounted(await this.#store.estimateRecords());
  }
}

/**
 * Returns the size with which the next batch takes about the intended time. The size at most doubles, and a single slow
 * batch reduces it to no less than a quarter. A batch that was not full says nothing about a larger one.
 */
function nextBatchSize(size: number, { busyMs, blocksCalls, next }: PurgedBatch): number {
  const intendedMs = blocksCalls ? BLOCKING_BATCH_MS : CONCURRENT_BATCH_MS;
  const change = Math.min(Math.max(intendedMs / busyMs, 1 / 4), next === undefined ? 1 : 2);
  return Math.min(Math.max(Math.round(size * change), MIN_BATCH_SIZE), MAX_BATCH_SIZE);
}

/** Resolves after `ms` milliseconds, or when `signal` is aborted. The pause does not keep the process alive. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => {});
}
