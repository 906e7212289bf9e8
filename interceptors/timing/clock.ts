/** Returns the time in milliseconds since the epoch. */
export type Clock = () => number;

/**
 * Returns the time of a clock as a whole number for a SQL statement, or null if the database must use its own clock.
 */
export function clockValue(clock: Clock | undefined): number | null {
  return clock ? Math.trunc(clock()) : null;
}
