import { outsideOfRequests } from '../context/copies.js';

/** A deadline that has been set. */
export interface Deadline {
  /** Drops the deadline. Its action does not run. */
  cancel(): void;
}

/** The part of its length by which a deadline may be late: a sixty-fourth. */
const LATENESS = 64;
const MIN_RESOLUTION_MS = 2;
const MAX_RESOLUTION_MS = 500;
/** The maximum delay of a Node timer, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The number of batches below which empty batches are kept. */
const MIN_BATCHES_TO_SWEEP = 32;

/** The deadlines that expire together. */
interface Batch {
  readonly deadlines: Set<BatchedDeadline>;
  timer?: NodeJS.Timeout;
}

/** A deadline among the deadlines that expire together. */
class BatchedDeadline implements Deadline {
  readonly expire: () => void;
  readonly #batch: Batch;

  constructor(expire: () => void, batch: Batch) {
    this.expire = expire;
    this.#batch = batch;
    batch.deadlines.add(this);
  }

  cancel(): void {
    this.#batch.deadlines.delete(this);
  }
}

/**
 * Many deadlines on few timers. A deadline expires at its time or up to a sixty-fourth of its length later (at least
 * 2 ms, at most 512 ms), never earlier. Deadlines that end at about the same time share a timer. The timers do not
 * keep the process alive. All actions run in the asynchronous context in which the library was loaded, because the calls
 * that share a timer have different contexts.
 *
 * A batch whose deadlines were all cancelled is kept for a while, because the next call may join it. The number of
 * batches in memory is at most twice the number of batches with deadlines, or a small constant.
 */
export class Deadlines {
  readonly #batches = new Map<number, Batch>();
  #sweepAt = MIN_BATCHES_TO_SWEEP;

  /** Runs `expire` once, `ms` milliseconds from now. */
  set(ms: number, expire: () => void): Deadline {
    const at = performance.now() + ms;
    const resolution = Math.min(Math.max(ms / LATENESS, MIN_RESOLUTION_MS), MAX_RESOLUTION_MS);
    // A power of two, so that deadlines of similar lengths round to the same times.
    const step = 1 << (32 - Math.clz32(Math.ceil(resolution) - 1));
    const end = Math.ceil(at / step) * step;
    return new BatchedDeadline(expire, this.#batches.get(end) ?? this.#open(end));
  }

  #open(end: number): Batch {
    if (this.#batches.size >= this.#sweepAt) this.#sweep();
    const batch: Batch = { deadlines: new Set() };
    this.#batches.set(end, batch);
    outsideOfRequests(() => this.#wait(end, batch));
    return batch;
  }

  /** Drops the empty batches. The next sweep is due when the number of batches has doubled. */
  #sweep(): void {
    for (const [end, { deadlines, timer }] of this.#batches) {
      if (deadlines.size > 0) continue;
      clearTimeout(timer);
      this.#batches.delete(end);
    }
    this.#sweepAt = Math.max(2 * this.#batches.size, MIN_BATCHES_TO_SWEEP);
  }

  #wait(end: number, batch: Batch): void {
    const remainingMs = Math.min(Math.ceil(end - performance.now()), MAX_TIMER_MS);
    const onTime = () => {
      // A Node timer can fire slightly early, and its length has an upper bound.
      if (performance.now() < end) return this.#wait(end, batch);
      this.#batches.delete(end);
      for (const { expire } of batch.deadlines) runSafely(expire);
    };
    batch.timer = setTimeout(onTime, remainingMs).unref();
  }
}

/** Runs one action. Its error becomes an uncaught exception and does not stop the actions after it. */
function runSafely(expire: () => void): void {
  try {
    expire();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/** The deadlines of this process. */
export const deadlines = new Deadlines();
