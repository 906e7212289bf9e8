import type { Database } from '../database/database.js';
import type { IdempotencyStore } from './store.js';

/** One open database in two roles: the store of the guard and the database handle of the services. */
export interface OpenStore {
  readonly store: IdempotencyStore;
  readonly database: Database;
  /** Resolves when the database answers. @throws DatabaseUnavailableError when the database cannot be reached */
  ping(): Promise<void>;
  /** Waits for running work, then closes the connections that were opened with the store. */
  close(): Promise<void>;
}
