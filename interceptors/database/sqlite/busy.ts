import { setTimeout as delay } from 'node:timers/promises';
import { LockTimeoutError } from '../errors.js';

/** How long SQLite itself waits for another process, and with it everything else here, in milliseconds. */
export const BLOCKING_WAIT_MS = 5;

const PAUSE_MS = 15;

/**
 * Tries again while another process holds the file, with the event loop turning in between.
 * @throws LockTimeoutError when that has lasted for `limitMs`
 */
export async function retryWhileLocked<T>(limitMs: number, attempt: () => T): Promise<T> {
  const until = performance.now() + limitMs;
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof LockTimeoutError) || performance.now() >= until) throw error;
    }
    await delay(PAUSE_MS);
  }
}
