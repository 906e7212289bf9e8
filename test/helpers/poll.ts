import { setImmediate as nextTurn } from 'node:timers/promises';

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
  while (!(await check())) {
    if (performance.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`);
    await nextTurn();
  }
}
