import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';

/** The number of checks without a pause. Later checks pause, because other processes need the processor. */
const EAGER_CHECKS = 100;
const PAUSE_MS = 5;

/**
 * Repeats a check until it returns true. Use it for changes that the test does not control.
 * @param what the awaited condition, which the error message repeats
 * @throws Error when the check did not return true within `withinMs` milliseconds
 */
export async function poll(
  what: string,
  check: () => Promise<boolean> | boolean,
  withinMs = 20_000,
): Promise<void> {
  const until = performance.now() + withinMs;
  for (let checks = 0; !(await check()); checks++) {
    if (performance.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`);
    await (checks < EAGER_CHECKS ? nextTurn() : pause(PAUSE_MS));
  }
}
