import { outsideOfRequests } from '../context/copies.js';
import { backoffMs } from './backoff.js';

/** The maximum delay of a Node timer, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The options of a `RepeatingTask`. */
export interface RepeatingTaskOptions {
  /** Runs the task once. If the run resolves to `true`, the next run starts at once. */
  readonly run: () => Promise<unknown>;
  /** The pause after a run, in milliseconds, from 1 to 2^31 - 1. */
  readonly intervalMs: number;
  /**
   * The upper bound of the pause after failed runs, in milliseconds. The pause doubles with each failure up to this
   * bound. Default: `intervalMs`, so that the pause does not grow.
   */
  readonly maxFailurePauseMs?: number;
  /** Receives the error of each failed run. The task continues. */
  readonly onError: (error: unknown) => void;
  /** Called after the first run that succeeds after failed runs. */
  readonly onRecovered?: () => void;
  /** Whether the timers keep the process alive. Default: true. */
  readonly keepsProcessAlive?: boolean;
}

/**
 * Runs a task at each wake-up, and after a pause since the last run. Two runs never overlap. A wake-up during a run
 * starts another run after the current one.
 *
 * Each run has the asynchronous context in which the library was loaded. The code that creates or wakes the task may run
 * inside a request: with a trace, or with an open transaction. If the task needs a context of its own, `run` can enter it.
 */
export class RepeatingTask {
  readonly #options: RepeatingTaskOptions;
  readonly #wakeUps = new Set<NodeJS.Timeout>();
  #interval: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isRunning = false;
  #isWoken = false;
  #isStopped = true;
  #failures = 0;

  /** @throws RangeError if `intervalMs` is out of its bounds */
  constructor(options: RepeatingTaskOptions) {
    const { intervalMs } = options;
    if (!(intervalMs >= 1 && intervalMs <= MAX_TIMER_MS)) {
      throw new RangeError(`intervalMs must be from 1 to ${MAX_TIMER_MS}, not ${intervalMs}`);
    }
    this.#options = options;
  }

  /**
   * Starts the task. A task that has started is not started again.
   * @param firstRun whether the first run starts now or after one interval
   */
  start(firstRun: 'now' | 'after-interval' = 'now'): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    if (firstRun === 'now') this.wake();
    else this.#startInterval();
  }

  /** Starts a run now, or directly after the current run. */
  wake(): void {
    if (this.#isStopped) return;
    this.#isWoken = true;
    if (!this.#isRunning) this.#running = outsideOfRequests(() => this.#runAll());
  }

  /** Starts a run in `ms` milliseconds. Has no effect if the pause after a run is not longer than this time. */
  wakeIn(ms: number): void {
    if (this.#isStopped || ms >= this.#pauseMs()) return;
    const timer = setTimeout(() => {
      this.#wakeUps.delete(timer);
      this.wake();
    }, ms);
    this.#wakeUps.add(this.#keep(timer));
  }

  /** Prevents further runs. Resolves when the current run has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#interval);
    for (const timer of this.#wakeUps) clearTimeout(timer);
    this.#wakeUps.clear();
    await this.#running;
  }

  async #runAll(): Promise<void> {
    this.#isRunning = true;
    clearInterval(this.#interval);
    while (this.#isWoken && !this.#isStopped) {
      this.#isWoken = false;
      if (await this.#runOnce()) this.#isWoken = true;
    }
    this.#isRunning = false;
    if (!this.#isStopped) this.#startInterval();
  }

  async #runOnce(): Promise<boolean> {
    try {
      const hasMore = await this.#options.run();
      const hasRecovered = this.#failures > 0;
      this.#failures = 0;
      if (hasRecovered) this.#report(() => this.#options.onRecovered?.());
      return hasMore === true;
    } catch (error) {
      this.#failures++;
      this.#report(() => this.#options.onError(error));
      return false;
    }
  }

  #report(report: () => void): void {
    try {
      report();
    } catch (failure) {
      // The process receives the error of the callback as an uncaught exception. The task continues.
      process.nextTick(() => {
        throw failure;
      });
    }
  }

  #startInterval(): void {
    clearInterval(this.#interval);
    this.#interval = this.#keep(setInterval(() => this.wake(), this.#pauseMs()));
  }

  #pauseMs(): number {
    const { intervalMs, maxFailurePauseMs = intervalMs } = this.#options;
    const maxMs = Math.max(intervalMs, maxFailurePauseMs);
    return backoffMs({ initialMs: intervalMs, maxMs }, this.#failures);
  }

  #keep(timer: NodeJS.Timeout): NodeJS.Timeout {
    return this.#options.keepsProcessAlive === false ? timer.unref() : timer;
  }
}
