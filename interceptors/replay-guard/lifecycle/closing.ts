import { within } from '../../timing/timeout.js';

/** The options of `ReplayGuard.close`. */
export interface CloseOptions {
  /**
   * How long running executions may take to end, in milliseconds, at most 24 days. Executions that still run then are
   * rolled back. Default: 30,000.
   */
  readonly timeoutMs?: number;
}

/** The work that a guard could not end in time. Both numbers are 0 if every call ended in time. */
export interface ClosedGuard {
  /** The number of executions that were ended at the time limit. Their handlers may still run. */
  readonly stopped: number;
  /**
   * The number of calls whose end the store had not confirmed when `close` resolved. Retries find out the outcome of
   * their operations, as after a crash.
   */
  readonly unfinished: number;
}

/** How long the store may take to roll back the executions that were ended at the time limit, in milliseconds. */
export const ROLLBACK_MS = 1_000;

/** Resolves to whether `work` resolved within `ms` milliseconds. */
export function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  return within(
    work.then(() => true),
    { ms, otherwise: () => false },
  );
}
