import { AsyncLocalStorage } from 'node:async_hooks';

/** After failed runs the pause doubles up to this length, in milliseconds, or stays at the interval if that is longer. */
const MAX_FAILURE_PAUSE_MS = 5_000;

export interface RepeatingTaskOptions {
  /** One run. Where it resolves to `true` more work waits, and the next run starts at once. */
  readonly run: () => Promise<unknown>;
  /** The interval between the starts of two runs, in milliseconds. */
  readonly intervalMs: number;
  /** Is told of each run that failed. The task goes on. */
  readonly onError: (error: unknown) => void;
  /** Whether the timers keep the process alive. Default: true. */
  readonly keepsProcessAlive?: boolean;
}

/**
 * Runs a task at an interval and whenever it is woken, never twice at the same time. A tick that comes during a run
 * is dropped; a wake-up that comes during a run starts another run after it.
 *
 * Runs happen in the asynchronous context in which the task was made, not in the context of the code that wakes it:
 * that code may be inside a call with an open transaction.
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

  /** @param firstRun whether the first run starts now or after one interval */
  start(firstRun: 'now' | 'after-interval' = 'now'): void {
    this.#isStopped = false;
    this.#interval = this.#keep(setInterval(() => this.#tick(), this.#options.intervalMs));
    if (firstRun === 'now') this.wake();
  }

  /** Runs now, or directly after the current run. */
  wake(): void {
    if (this.#isStopped) return;
    this.#isWoken = true;
    this.#running ??= this.#inOwnContext(() => this.#runAll());
  }

  /** Runs in `ms` milliseconds. A time beyond the interval needs no timer of its own. */
  wakeIn(ms: number): void {
    if (this.#isStopped || ms >= this.#options.intervalMs) return;
    const timer = setTimeout(() => {
      this.#wakeUps.delete(timer);
      this.wake();
    }, ms);
    this.#wakeUps.add(this.#keep(timer));
  }

  /** Resolves when the current run has ended. No other run starts. */
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
