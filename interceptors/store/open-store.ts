import type { Database } from '../database/database.js';
import type { LoadSource } from '../database/load.js';
import type { IdempotencyStore } from './store.js';

/** One open database in two roles: the store of the guard and the database handle of the services. */
export interface OpenStore extends LoadSource {
  readonly store: IdempotencyStore;
  readonly database: Database;
  /**
   * Resolves when a claim would succeed. The check claims a record that nobody uses, and commits once.
   * @throws DatabaseUnavailableError when a claim would fail: the database cannot be reached, is read-only, full or damaged,
   *   lacks a table or a privilege, or its file was deleted or replaced
   */
  ping(): Promise<void>;
  /** Waits for running work, then closes the connections that were opened with the store. */
  close(): Promise<void>;
}
