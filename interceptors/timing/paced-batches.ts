import { setTimeout as delay } from 'node:timers/promises';

/** The bounds of the number of rows in one batch. */
const MIN_BATCH_SIZE = 10;
const MAX_BATCH_SIZE = 1_000;
const INITIAL_BATCH_SIZE = 100;
/**
 * The intended duration of the statements of one batch, in milliseconds. If the batch blocks calls, calls wait for about
 * this time. Otherwise the time includes round trips, which a small batch would not shorten.
 */
const BLOCKING_BATCH_MS = 3;
const CONCURRENT_BATCH_MS = 30;
/** The pause after a batch, as a multiple of its duration. The batches so use at most a quarter of the time. */
const PAUSE_PER_BUSY_MS = 3;

/** The result of one batch. */
export interface Batch<Position> {
  /** How long the statements of the batch took, in milliseconds, without the time in the queue of the writer. */
  readonly busyMs: number;
  /** Whether the calls of this process wait while the statements run. */
  readonly blocksCalls: boolean;
  /** Where the next batch starts. Absent if there is no other batch. */
  readonly next?: Position;
}

/**
 * Runs batches with a pause after each batch, in which calls are served. The size of a batch follows the measured
 * duration of the previous batch. The object keeps the size from one run to the next.
 */
export class PacedBatches {
  #size = INITIAL_BATCH_SIZE;

  /**
   * Runs batch after batch, each from the position at which the previous batch ended. Resolves after the last batch, or
   * when the current batch has ended after an abort of `signal`. The pauses do not keep the process alive.
   * @param run runs one batch of at most `size` rows. The first batch has no position.
   */
  async run<Position>(
    run: (size: number, after: Position | undefined) => Promise<Batch<Position>>,
    signal: AbortSignal,
  ): Promise<void> {
    let next: Position | undefined;
    do {
      const batch = await run(this.#size, next);
      this.#size = nextSize(this.#size, batch);
      next = batch.next;
      if (next !== undefined) await pause(batch.busyMs * PAUSE_PER_BUSY_MS, signal);
    } while (next !== undefined && !signal.aborted);
  }
}

/**
 * Returns the size with which the next batch takes about the intended time. The size at most doubles, and a single slow
 * batch reduces it to no less than a quarter. A batch that was not full says nothing about a larger one.
 */
function nextSize(size: number, { busyMs, blocksCalls, next }: Batch<unknown>): number {
  const intendedMs = blocksCalls ? BLOCKING_BATCH_MS : CONCURRENT_BATCH_MS;
  const change = Math.min(Math.max(intendedMs / busyMs, 1 / 4), next === undefined ? 1 : 2);
  return Math.min(Math.max(Math.round(size * change), MIN_BATCH_SIZE), MAX_BATCH_SIZE);
}

/** Resolves after `ms` milliseconds, or when `signal` is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => {});
}
