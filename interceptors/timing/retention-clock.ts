import type { Clock } from './clock.js';

/** The length of a trial, in milliseconds of running time. */
export const TRIAL_MS = 24 * 3_600_000;
/**
 * The maximum running time that one reading adds to the trial, in milliseconds. Between two readings nothing observes
 * the clock.
 */
const MAX_PROVEN_MS = 60_000;

/** The state of a `RetentionClock`, which a file may keep. All values are in milliseconds. */
export interface RetentionState {
  /** The retention time. */
  readonly time: number;
  /**
   * The lowest time during the trial, advanced by the steady clock. Becomes the retention time at the end of the trial.
   */
  readonly next: number;
  /** The running time of the trial so far. */
  readonly trialMs: number;
  /** The time of the steady clock to which the other values belong. */
  readonly steadyMs: number;
}

/**
 * The clock that judges whether a retention has ended. A clock that was set ahead by mistake must not expire records,
 * because their operations would execute again. The retention time is never later than the clock. It follows the clock
 * back at once. It follows the clock ahead only as fast as a steady clock runs.
 *
 * The clock is also ahead, and right, after the host was suspended or switched off. Therefore the retention time
 * catches up after a trial of 24 hours of running time. It catches up only as far as the clock was ahead during the
 * whole trial.
 */
export class RetentionClock {
  readonly #clock: Clock;
  readonly #steadyClock: Clock;
  #time: number;
  #next: number;
  #trialMs = 0;
  #steadyMs: number;

  /**
   * @param clock the clock of the host, which may be set
   * @param steadyClock a clock that runs and is never set
   */
  constructor(clock: Clock, steadyClock: Clock) {
    this.#clock = clock;
    this.#steadyClock = steadyClock;
    this.#steadyMs = steadyClock();
    this.#time = clock();
    this.#next = this.#time;
  }

  /**
   * Continues from a state that an earlier process has stored. The host, and with it the steady clock, may have started
   * again since.
   */
  restore({ time, next, trialMs, steadyMs }: RetentionState): void {
    const ranMs = Math.max(this.#steadyMs - steadyMs, 0);
    this.#time = Math.min(time + ranMs, this.#time);
    this.#next = Math.min(next + ranMs, this.#next);
    this.#trialMs = trialMs;
  }

  /** Returns the retention time, in milliseconds since the epoch. */
  now(): number {
    const clockMs = this.#clock();
    const steadyMs = this.#steadyClock();
    const ranMs = Math.max(steadyMs - this.#steadyMs, 0);
    this.#steadyMs = steadyMs;
    this.#time = Math.min(this.#time + ranMs, clockMs);
    this.#next = Math.min(this.#next + ranMs, clockMs);
    this.#trialMs += Math.min(ranMs, MAX_PROVEN_MS);
    if (this.#trialMs >= TRIAL_MS) {
      this.#time = this.#next;
      this.#next = clockMs;
      this.#trialMs = 0;
    }
    return this.#time;
  }

  /** Returns the state at this moment. */
  state(): RetentionState {
    const time = this.now();
    return { time, next: this.#next, trialMs: this.#trialMs, steadyMs: this.#steadyMs };
  }
}
