import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { Log } from '../platform/log.js';
import { RepeatingRounds } from '../platform/periodic.js';
import { expireReservation } from './end-reservation.js';
import { Items } from './items.js';
import { Reservations } from './reservations.js';

export interface HoldExpiryOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Pause between looks, in milliseconds; 1000 where left out. */
  readonly intervalMs?: number;
  /** Most holds of one round; 100 where left out. */
  readonly batch?: number;
}

export interface HoldExpiry {
  start(): void;
  /** Resolves when the round that is running has ended. */
  stop(): Promise<void>;
  /** One round: expires overdue holds, each in its own transaction, and returns how many. */
  runOnce(): Promise<number>;
}

/**
 * Marks overdue holds expired and gives their stock back. Nothing depends on its being quick: an overdue
 * hold is treated as expired by everybody, marked or not.
 */
export function createHoldExpiry(options: HoldExpiryOptions): HoldExpiry {
  const { database, clock, log, intervalMs = 1000, batch = 100 } = options;
  const stock = { database, items: new Items(database), reservations: new Reservations(database) };

  const expire = async (id: string) => {
    try {
      return await expireReservation(stock, id, clock.now());
    } catch (error) {
      // The others shall not wait for this one.
      log.error({ err: error, reservation: id }, 'a hold could not be expired');
      return false;
    }
  };
  const runOnce = async () => {
    let expired = 0;
    for (const id of await stock.reservations.overdue(clock.now(), batch)) if (await expire(id)) expired++;
    return expired;
  };

  const round = async () => (await runOnce()) === batch;
  const periodic = new RepeatingRounds({ name: 'hold expiry', round, intervalMs, log });
  return { start: () => periodic.start(), stop: () => periodic.stop(), runOnce };
}
