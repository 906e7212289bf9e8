import { AsyncLocalStorage } from 'node:async_hooks';

/** The upper bound of the pause after failed runs, in milliseconds. A longer interval is not shortened. */
const MAX_FAILURE_PAUSE_MS = 5_000;

/** The options of a `RepeatingTask`. */
export interface RepeatingTaskOptions {
  /** Runs the task once. If the run resolves to `true`, the next run starts at once. */
  readonly run: () => Promise<unknown>;
  /** The interval between the starts of two runs, in milliseconds. */
  readonly intervalMs: number;
  /** Receives the error of each failed run. The task continues. */
  readonly onError: (error: unknown) => void;
  /** Whether the timers keep the process alive. Default: true. */
  readonly keepsProcessAlive?: boolean;
}

/**
 * Runs a task at an interval and at each wake-up. Two runs never overlap. A tick of the interval during a run has no
 * effect. A wake-up during a run starts another run after the current one. After a failed run the pause doubles, up
 * to 5 seconds.
 *
 * Each run has the asynchronous context in which the task was constructed. The context of the code that wakes the
 * task is not used, because that code may run inside a call with an open transaction.
 */
export class RepeatingTask {
  readonly #options: RepeatingTaskOptions;
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  readonly #wakeUps = new Set<NodeJS.Timeout>();
  #interval: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isWoken = false;
  #isStopped = true;
  #failures = 0;
  #ticksToSkip = 0;

  constructor(options: RepeatingTaskOptions) {
    this.#options = options;
  }

  /**
   * Starts the interval. A task that has started is not started again.
   * @param firstRun whether the first run starts now or after one interval
   */
  start(firstRun: 'now' | 'after-interval' = 'now'): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#interval = this.#keep(setInterval(() => this.#tick(), this.#options.intervalMs));
    if (firstRun === 'now') this.wake();
  }

  /** Starts a run now, or directly after the current run. */
  wake(): void {
    if (this.#isStopped) return;
    this.#isWoken = true;
    this.#running ??= this.#inOwnContext(() => this.#runAll());
  }

  /** Starts a run in `ms` milliseconds. A time of one interval or more has no effect, because a tick comes first. */
  wakeIn(ms: number): void {
    if (this.#isStopped || ms >= this.#options.intervalMs) return;
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

  #tick(): void {
    if (this.#ticksToSkip > 0) this.#ticksToSkip--;
    else if (!this.#running) this.wake();
  }

  async #runAll(): Promise<void> {
    while (this.#isWoken && !this.#isStopped) {
      this.#isWoken = false;
      if (await this.#runOnce()) this.#isWoken = true;
    }
    this.#running = undefined;
  }

  async #runOnce(): Promise<boolean> {
    try {
      const hasMore = await this.#options.run();
      this.#failures = 0;
      return hasMore === true;
    } catch (error) {
      this.#failures++;
      this.#ticksToSkip = this.#ticksAfterFailure();
      this.#options.onError(error);
      return false;
    }
  }

  #ticksAfterFailure(): number {
    const { intervalMs } = this.#options;
    const pauseMs = Math.min(intervalMs * 2 ** this.#failures, MAX_FAILURE_PAUSE_MS);
    return Math.max(0, Math.ceil(pauseMs / intervalMs) - 1);
  }

  #keep(timer: NodeJS.Timeout): NodeJS.Timeout {
    return this.#options.keepsProcessAlive === false ? timer.unref() : timer;
  }
}
