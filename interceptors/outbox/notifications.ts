import { outsideOfRequests } from '../context/copies.js';
import type { Database } from '../database/database.js';
import type { OutboxObserver } from './observer.js';

/** The Postgres channel that wakes relays in other processes. */
export const CHANNEL = 'replay_guard_outbox';

const notify = `SELECT pg_notify('${CHANNEL}', '')`;

/** Receives the errors of a source of wake-ups. */
export type WakeUpObserver = Pick<OutboxObserver, 'errorOccurred' | 'recovered'>;

/** A source of wake-ups. It wakes a relay when another process has appended events or released work. */
export interface WakeUps {
  /**
   * Starts the source. The source calls `wake` whenever events may be due.
   * @param observer receives the errors of the source, and its recovery
   */
  start(wake: () => void, observer?: WakeUpObserver): void;
  /** Resolves when the source has ended. */
  stop(): Promise<void>;
}

/**
 * Notifies relays that events may be due. Relays in this process are notified at once. On Postgres, NOTIFY reaches
 * other processes.
 */
export class WorkSignal {
  readonly #database: Database;
  readonly #listeners = new Set<() => void>();
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
    // This method runs in the context of an ended unit of work. One NOTIFY statement serves many of them.
    if (this.#database.dialect.name === 'postgres') outsideOfRequests(() => void this.#notifyOthers());
  }

  /**
   * Sends NOTIFY in a separate transaction. All calls during one NOTIFY cause only one further NOTIFY. Postgres
   * commits transactions with a NOTIFY one after another, each with its own fsync. A lost notification is harmless,
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
