import { AsyncLocalStorage } from 'node:async_hooks';
import type { Database } from '../database/database.js';

/** The Postgres channel that wakes relays in other processes. */
export const CHANNEL = 'replay_guard_outbox';

const notify = `SELECT pg_notify('${CHANNEL}', '')`;

/** A source of wake-ups for work that other processes have made. */
export interface WakeUps {
  /** Starts to call `wake` whenever there may be work. */
  start(wake: () => void): void;
  /** Resolves when the source has ended. */
  stop(): Promise<void>;
}

/**
 * Notifies relays that there may be work: at once in this process, and by NOTIFY in other processes on
 * Postgres.
 */
export class WorkSignal {
  readonly #database: Database;
  readonly #listeners = new Set<() => void>();
  /**
   * `notify` runs in the context of an ended unit of work. The NOTIFY statement must run outside of that
   * context.
   */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  #isNotifying = false;
  #isNotifyDue = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @returns a function that removes the listener */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls the listeners, and notifies other processes in the background. */
  notify(): void {
    for (const listener of this.#listeners) listener();
    if (this.#database.dialect.name === 'postgres') this.#inOwnContext(() => void this.#notifyOthers());
  }

  /**
   * Sends NOTIFY in a transaction of its own, once for all calls during the previous one. Postgres commits
   * transactions with a NOTIFY one after another, each with its own fsync. A lost notification is harmless,
   * because relays poll.
   */
  async #notifyOthers(): Promise<void> {
    this.#isNotifyDue = true;
    if (this.#isNotifying) return;
    this.#isNotifying = true;
    while (this.#isNotifyDue) {
      this.#isNotifyDue = false;
      await this.#database.query(notify).catch(() => {});
    }
    this.#isNotifying = false;
  }
}
