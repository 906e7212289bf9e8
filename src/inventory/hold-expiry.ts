import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { FailureLog } from '../platform/failure-log.js';
import { RepeatingTask } from '../platform/repeating-task.js';
import { expireReservation } from './end-reservation.js';
import { Items } from './items.js';
import { Reservations } from './reservations.js';

/** The upper bound of the pause after failed runs, in milliseconds. */
const MAX_FAILURE_PAUSE_MS = 5_000;

/** The name of this work in the failure log. */
const part = 'holds';

/** The options of `createHoldExpiry`. */
export interface HoldExpiryOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly failures: FailureLog;
  /** The pause after a run, in milliseconds. Default: 1000. */
  readonly intervalMs?: number;
  /** The maximum number of holds in one run. Default: 100. */
  readonly batch?: number;
}

/** The background work that expires overdue holds. */
export interface HoldExpiry {
  start(): void;
  /** Resolves when the current run has ended. */
  stop(): Promise<void>;
  /** Expires a batch of overdue holds, each in its own transaction. Resolves to their number. */
  runOnce(): Promise<number>;
}

/**
 * Makes the background work that marks overdue holds EXPIRED and releases their stock. A delay does no harm, because
 * the services treat an overdue hold as expired before it is marked.
 */
export function createHoldExpiry(options: HoldExpiryOptions): HoldExpiry {
  const { database, clock, failures, intervalMs = 1000, batch = 100 } = options;
  const stock = { database, items: new Items(database), reservations: new Reservations(database) };

  /** Resolves to undefined after a failure. */
  const expire = async (id: string) => {
    try {
      return await expireReservation(stock, id, clock.now());
    } catch (error) {
      // The other holds of the batch are still expired.
      failures.failed({ part, error, text: 'a hold could not be expired', fields: { reservation: id } });
      return undefined;
    }
  };
  const runOnce = async () => {
    const ids = await stock.reservations.overdue(clock.now(), batch);
    const ends: (boolean | undefined)[] = [];
    for (const id of ids) ends.push(await expire(id));
    // The list of holds can be read while no hold can be changed.
    if (!ends.includes(undefined)) failures.worked(part);
    return ends.filter(Boolean).length;
  };

  const task = new RepeatingTask({
    // A full batch means that more holds may be overdue.
    run: async () => (await runOnce()) === batch,
    intervalMs,
    maxFailurePauseMs: MAX_FAILURE_PAUSE_MS,
    onError: (error) => failures.failed({ part, error, text: 'overdue holds could not be read' }),
  });
  return { start: () => task.start(), stop: () => task.stop(), runOnce };
}
