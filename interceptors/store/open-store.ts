import type { Database } from '../database/database.js';
import type { IdempotencyStore } from './store.js';

/** A database opened twice over: for the guard as its store, for the services as their handle. */
export interface OpenStore {
  readonly store: IdempotencyStore;
  readonly database: Database;
  /** Resolves when the database answers. @throws DatabaseUnavailableError */
  ping(): Promise<void>;
  /** Waits for what is running, then closes the connections that were opened here. */
  close(): Promise<void>;
}
