import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';

/** After so many turns of the event loop it is asked now and then only: others need the processor. */
const EAGER_TURNS = 100;
const PAUSE_MS = 5;

/**
 * Asks again and again until the answer is yes: for what the outside does in its own time.
 * @throws when `withinMs` have passed
 */
export async function poll(
  what: string,
  check: () => Promise<boolean> | boolean,
  withinMs = 20_000,
): Promise<void> {
  const until = performance.now() + withinMs;
  for (let turn = 0; !(await check()); turn++) {
    if (performance.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`);
    await (turn < EAGER_TURNS ? nextTurn() : pause(PAUSE_MS));
  }
}
