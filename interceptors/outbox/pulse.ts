import { AsyncLocalStorage } from 'node:async_hooks';

/** Does something whenever it is woken, and at the latest after an interval; one beat at a time. */
export class Pulse {
  readonly #beat: () => Promise<void>;
  readonly #everyMs: number;
  /** Beats run in the context of who made this, not of who wakes it: that may be a call with a transaction. */
  readonly #outside = AsyncLocalStorage.snapshot();
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = true;
  #woken = false;
  #beating: Promise<void> | undefined;
  #next: NodeJS.Timeout | undefined;

  /** @param beat must not reject */
  constructor(beat: () => Promise<void>, everyMs: number) {
    this.#beat = beat;
    this.#everyMs = everyMs;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Beats now, or right after the beat that is running. */
  wake(): void {
    if (this.#stopped) return;
    this.#woken = true;
    this.#beating ??= this.#outside(() => this.#run());
  }

  /** Beats in so many milliseconds; the interval alone sees to what lies behind its end. */
  wakeIn(ms: number): void {
    if (this.#stopped || ms >= this.#everyMs) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.wake();
    }, ms);
    this.#timers.add(timer);
  }

  /** Resolves when the beat that is running has ended; there will be no other. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#next);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    await this.#beating;
  }

  async #run(): Promise<void> {
    clearTimeout(this.#next);
    while (this.#woken && !this.#stopped) {
      this.#woken = false;
      await this.#beat();
    }
    this.#beating = undefined;
    if (!this.#stopped) this.#next = setTimeout(() => this.wake(), this.#everyMs);
  }
}
