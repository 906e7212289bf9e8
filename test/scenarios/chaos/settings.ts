import type { ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../helpers/faults/seeded-random.js';

const setting = (name: string, fallback: number) => Number(process.env[name] ?? fallback);

/** The number of orders in each run. */
export const ORDERS = setting('CHAOS_ORDERS', 60);

const isShort = ORDERS < 1_000;

/** The number of clients. Each client has one connection. */
export const CLIENTS = 4;
/** The number of concurrent calls on each connection. */
export const CALLS_PER_CLIENT = isShort ? 4 : 8;

/** The timeout of one attempt, in milliseconds. A lost reply costs this time. */
export const ATTEMPT_MS = isShort ? 1_000 : 2_000;

/** The number of kills. It must be at least three, so that a server of each role is killed. */
export const KILLS = setting('CHAOS_KILLS', 3);

/** Whether the run waits until the leases of killed servers expire. Otherwise the test expires them in the database. */
export const WAITS_FOR_LEASES = process.env.CHAOS_LEASES === 'real';

/** The maximum wait for one condition, in milliseconds. */
export const MAX_WAIT_MS = 180_000 + ORDERS * 600;

/** Creates the random generator of a run. Prints its seed; the environment variable SEED repeats a run. */
export function seededChance(t: ExecutionContext): Random {
  const seed = setting('SEED', Math.floor(Math.random() * 2 ** 31));
  t.log(`SEED=${seed}`);
  return seededRandom(seed);
}
