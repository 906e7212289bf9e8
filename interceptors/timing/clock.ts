/** Tells the time, in milliseconds since the epoch. */
export type Clock = () => number;

/** The clock's time as a value for a statement: a whole number, or null where the database's own clock decides. */
export function clockValue(clock: Clock | undefined): number | null {
  return clock ? Math.trunc(clock()) : null;
}
