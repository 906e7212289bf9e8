/** A source of the current time. */
export interface Clock {
  /** Returns the time in milliseconds since the epoch. */
  now(): number;
}
