/** Milliseconds since the epoch. */
export type Clock = () => number;

/** What a clock says now, for a statement to take; null where there is none, and the database's is to be taken. */
export function nowBy(clock: Clock | undefined): number | null {
  return clock ? Math.trunc(clock()) : null;
}
