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
export class RepeatingRounds {
  readonly #options: PeriodicOptions;
  #failures = 0;
  #stopped = true;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(options: PeriodicOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#running = this.#run();
  }

  /** Resolves when the round that is running has ended; no other starts. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Rounds until there is nothing to do right away, then again after a pause. */
  async #run(): Promise<void> {
    while (!this.#stopped && (await this.#round()));
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.start(), this.#pauseMs());
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

  #pauseMs(): number {
    const { intervalMs } = this.#options;
    return Math.max(intervalMs, Math.min(intervalMs * 2 ** this.#failures, LONGEST_PAUSE_MS));
  }
}
