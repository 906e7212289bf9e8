import type { ExecutionContext } from 'ava';

/**
 * Stops `performance.now` until the end of the test, so that no group of SQLite ends because of its age. The clock stops
 * for the whole process: only serial tests may call this function.
 */
export function stopSteadyClock(t: ExecutionContext): void {
  const now = performance.now;
  performance.now = () => 1;
  t.teardown(() => {
    performance.now = now;
  });
}
