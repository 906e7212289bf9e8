import type { Dialect } from '../database/database.js';
import { type Clock, clockValue } from '../timing/clock.js';

/**
 * Returns SQL for the time of a statement, and its parameter if the process has a clock of its own. The texts differ,
 * because Citus allows no clock inside COALESCE.
 * @param position the position of the parameter
 */
export function timeOf(
  { now }: Dialect,
  clock: Clock | undefined,
  position: number,
): { readonly sql: string; readonly params: readonly number[] } {
  const ms = clockValue(clock);
  return ms === null ? { sql: now, params: [] } : { sql: `CAST($${position} AS BIGINT)`, params: [ms] };
}
