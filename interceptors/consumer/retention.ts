import type { Database } from '../replay-guard/stores/sql/database.js';
import type { ConsumerObserver } from './observer.js';

const EVERY_MS = 60_000;
const BATCH = 500;

const purge = `
  DELETE FROM replay_guard_messages WHERE id IN
    (SELECT id FROM replay_guard_messages WHERE expires_at <= $1 ORDER BY expires_at LIMIT ${BATCH})
  RETURNING expires_at`;

/** Forgets messages whose retention is over, every minute and a bounded batch at a time. */
export class Retention {
  readonly #database: Database;
  readonly #observer: ConsumerObserver;
  readonly #clock: () => number;
  readonly #timer: NodeJS.Timeout;
  #purging = Promise.resolve();
  #stopped = false;

  constructor(database: Database, observer: ConsumerObserver, clock: () => number) {
    this.#database = database;
    this.#observer = observer;
    this.#clock = clock;
    this.#timer = setInterval(() => {
      this.#purging = this.#purging.then(() => this.#round());
    }, EVERY_MS).unref();
  }

  /** Resolves when the batch that is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#purging;
  }

  /** Until nothing expired is left. Several servers that purge at once share the work, and one may end early. */
  async #round(): Promise<void> {
    try {
      let purged = BATCH;
      while (purged === BATCH && !this.#stopped) {
        purged = (await this.#database.query(purge, [this.#clock()])).length;
        this.#observer.messagesPurged(purged);
      }
    } catch (error) {
      this.#observer.purgeFailed(error);
    }
  }
}
