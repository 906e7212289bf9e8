import type { Database, Dialect } from '../database/database.js';
import { type Clock, clockValue } from '../timing/clock.js';
import type { ConsumerObserver } from './observer.js';

const EVERY_MS = 60_000;
const BATCH = 500;

// A CTE runs once, so no more rows are locked than are deleted.
const purge = ({ name, now }: Dialect) => `
  WITH expired AS MATERIALIZED (
    SELECT id FROM replay_guard_messages WHERE expires_at <= COALESCE($1, ${now})
    ORDER BY expires_at LIMIT ${BATCH}${name === 'postgres' ? ' FOR UPDATE SKIP LOCKED' : ''})
  DELETE FROM replay_guard_messages WHERE id IN (SELECT id FROM expired)
  RETURNING expires_at`;

/** Forgets messages whose retention is over, every minute and a bounded batch at a time. */
export class Retention {
  readonly #database: Database;
  readonly #observer: ConsumerObserver;
  readonly #clock: Clock | undefined;
  readonly #timer: NodeJS.Timeout;
  #purging = Promise.resolve();
  #stopped = false;

  constructor(database: Database, observer: ConsumerObserver, clock: Clock | undefined) {
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
      const statement = purge(this.#database.dialect);
      let purged = BATCH;
      while (purged === BATCH && !this.#stopped) {
        purged = (await this.#database.query(statement, [clockValue(this.#clock)])).length;
        this.#observer.messagesPurged(purged);
      }
    } catch (error) {
      this.#observer.purgeFailed(error);
    }
  }
}
