import type { RetentionClock, RetentionState } from '../../timing/retention-clock.js';
import { type Connection, retryWhileLocked } from './connection.js';

const TABLE = 'replay_guard_clock';
/** The pause between two updates of the mark, in milliseconds. */
const INTERVAL_MS = 60_000;

const create = `
  CREATE TABLE IF NOT EXISTS ${TABLE} (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    time INTEGER NOT NULL,
    next INTEGER NOT NULL,
    trial_ms INTEGER NOT NULL,
    steady_ms INTEGER NOT NULL
  )`;
const find = `SELECT time, next, trial_ms, steady_ms FROM ${TABLE} WHERE id = 1`;
const store = `
  INSERT INTO ${TABLE} (id, time, next, trial_ms, steady_ms) VALUES (1, $1, $2, $3, $4)
  ON CONFLICT (id) DO UPDATE SET
    time = excluded.time, next = excluded.next, trial_ms = excluded.trial_ms, steady_ms = excluded.steady_ms`;

/**
 * The state of the retention clock in the file. A process that opens the file continues from it, so that a restart while
 * the clock is wrong does not expire records. The update travels with the commit of a unit of work.
 */
export class RetentionMark {
  readonly #connection: Connection;
  readonly #clock: RetentionClock;
  #updatedAt = performance.now();

  private constructor(connection: Connection, clock: RetentionClock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /**
   * Continues the clock from the mark of the file. Makes the mark in a file that has none.
   * @throws LockTimeoutError when another process holds the file for longer than `busyTimeoutMs`
   */
  static async open(
    connection: Connection,
    clock: RetentionClock,
    busyTimeoutMs: number,
  ): Promise<RetentionMark> {
    const mark = new RetentionMark(connection, clock);
    await retryWhileLocked(busyTimeoutMs, () => connection.control(create));
    const state = mark.#find();
    if (state) clock.restore(state);
    else await retryWhileLocked(busyTimeoutMs, () => mark.#store());
    return mark;
  }

  /**
   * Updates the mark once a minute, in the open transaction. Never fails: an old mark makes retentions longer, never
   * shorter. If the failure has rolled the transaction back, its COMMIT fails.
   */
  update(): void {
    if (performance.now() - this.#updatedAt < INTERVAL_MS) return;
    this.#updatedAt = performance.now();
    try {
      this.#store();
    } catch {
      // The next update tries again.
    }
  }

  #find(): RetentionState | undefined {
    const [row] = this.#connection.run({ text: find, params: [] });
    if (!row) return undefined;
    const { time, next, trial_ms: trialMs, steady_ms: steadyMs } = row;
    return {
      time: Number(time),
      next: Number(next),
      trialMs: Number(trialMs),
      steadyMs: Number(steadyMs),
    };
  }

  #store(): void {
    const { time, next, trialMs, steadyMs } = this.#clock.state();
    const params = [time, next, trialMs].map(Math.trunc);
    // Rounded up, so that the next process counts no time twice.
    this.#connection.run({ text: store, params: [...params, Math.ceil(steadyMs)] });
  }
}
