import { type Clock, clockValue } from '../timing/clock.js';

/**
 * Returns SQL for the time of a statement, and its parameter if the process has a clock of its own. The texts differ,
 * because Citus allows no clock inside COALESCE.
 * @param time SQL for the time of the database
 * @param position the position of the parameter
 */
export function timeOf(
  time: string,
  clock: Clock | undefined,
  position: number,
): { readonly sql: string; readonly params: readonly number[] } {
  const ms = clockValue(clock);
  return ms === null ? { sql: time, params: [] } : { sql: `CAST($${position} AS BIGINT)`, params: [ms] };
}
