import type { ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../helpers/faults/seeded-random.js';

const setting = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);

/** How many orders are placed in each run. */
export const ORDERS = setting('CHAOS_ORDERS', 60);

const isShort = ORDERS < 1_000;

/** How many clients place them, each on a connection of its own that carries several calls. */
export const CLIENTS = 4;
export const CALLS_PER_CLIENT = isShort ? 4 : 8;

/** How long a client waits for a reply that was lost, in milliseconds. */
export const ATTEMPT_MS = isShort ? 1_000 : 2_000;

/** How often a server is killed: three times at least, so that each kind is. */
export const KILLS = setting('CHAOS_KILLS', 3);

/** Whether the leases of the dead are waited for; else the test moves the database's time. */
export const WAITS_FOR_LEASES = process.env.CHAOS_LEASES === 'real';

/** The longest wait for one condition, in milliseconds. */
export const BOUND_MS = 180_000 + ORDERS * 600;

/** Chance that SEED repeats; the seed is printed. */
export function chance(t: ExecutionContext): Random {
  const seed = setting('SEED', Math.floor(Math.random() * 2 ** 31));
  t.log(`SEED=${seed}`);
  return seededRandom(seed);
}
