import { AsyncLocalStorage } from 'node:async_hooks';
import type { Log } from './log.js';

/** Rounds that fail one after another come less and less often, at the least in this interval. */
const LONGEST_PAUSE_MS = 5_000;

export interface PeriodicOptions {
  /** One round of work; resolves to whether there may be more to do right away. */
  readonly round: () => Promise<boolean>;
  /** Pause between rounds that found nothing more to do, in milliseconds. */
  readonly intervalMs: number;
  /** What the log calls this work. */
  readonly name: string;
  readonly log: Log;
}

/** Work that is done again and again, one round at a time, until it is stopped. */
export class Periodic {
  readonly #options: PeriodicOptions;
  /** Rounds run in the context of the start, not of who wakes them: that may be a call with a transaction. */
  readonly #outside = AsyncLocalStorage.snapshot();
  #failures = 0;
  #stopped = true;
  #woken = false;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(options: PeriodicOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Starts a round now, or right after the one that is running. */
  wake(): void {
    if (this.#stopped) return;
    this.#woken = true;
    if (this.#running) return;
    clearTimeout(this.#timer);
    this.#running = this.#outside(() => this.#run()).finally(() => this.#pause());
  }

  /** Resolves when the round that is running has ended; no other starts. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    let more = true;
    while ((more || this.#woken) && !this.#stopped) {
      this.#woken = false;
      more = await this.#round();
    }
  }

  async #round(): Promise<boolean> {
    try {
      const more = await this.#options.round();
      this.#failures = 0;
      return more;
    } catch (error) {
      this.#failures++;
      this.#options.log.error({ err: error }, `${this.#options.name}: a round failed`);
      return false;
    }
  }

  #pause(): void {
    this.#running = undefined;
    if (this.#stopped) return;
    if (this.#woken) this.wake();
    else this.#timer = setTimeout(() => this.wake(), this.#pauseMs());
  }

  #pauseMs(): number {
    const { intervalMs } = this.#options;
    return Math.max(intervalMs, Math.min(intervalMs * 2 ** this.#failures, LONGEST_PAUSE_MS));
  }
}
