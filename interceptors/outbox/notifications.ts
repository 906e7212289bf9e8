import { AsyncLocalStorage } from 'node:async_hooks';
import type { Database } from '../database/database.js';

/** What relays in other processes listen to, on Postgres. */
export const CHANNEL = 'replay_guard_outbox';

const notify = `SELECT pg_notify('${CHANNEL}', '')`;

/** Tells the relays that there may be work: at once in this process, and by NOTIFY in others where there is one. */
export class WorkSignal {
  readonly #database: Database;
  readonly #listeners = new Set<() => void>();
  /** Rung in the context of whoever appended, whose unit of work has just ended. */
  readonly #outside = AsyncLocalStorage.snapshot();
  #ringing = false;
  #again = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @returns a function that ends it */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  ring(): void {
    for (const listener of this.#listeners) listener();
    if (this.#database.dialect.name === 'postgres') this.#outside(() => void this.#notify());
  }

  /**
   * After the commit and not in it, and one for all that come meanwhile: Postgres lets transactions that notify
   * commit only one after another, each with its own fsync. Where this fails, polling finds the work.
   */
  async #notify(): Promise<void> {
    this.#again = true;
    if (this.#ringing) return;
    this.#ringing = true;
    while (this.#again) {
      this.#again = false;
      await this.#database.query(notify).catch(() => {});
    }
    this.#ringing = false;
  }
}
