import type { ObservedStore } from './observed-store.js';

const BATCH = 500;

/**
 * Erases the completed records of a scope, a bounded batch at a time; returns how many there were.
 * @throws DatabaseUnavailableError, CommitInDoubtError: what is left is erased when it is asked for again
 */
export async function eraseScope(store: ObservedStore, scope: string): Promise<number> {
  let total = 0;
  for (;;) {
    const erased = await store.erase(scope, BATCH);
    total += erased;
    if (erased < BATCH) return total;
  }
}
