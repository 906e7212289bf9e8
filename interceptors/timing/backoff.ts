/** The bounds of an exponential backoff. */
export interface Backoff {
  /** The pause after the first failure, in milliseconds. */
  readonly initialMs: number;
  /** The upper bound of every pause, in milliseconds. */
  readonly maxMs: number;
}

/**
 * How much of a pause is random.
 * - `none`: the pause is exact.
 * - `half`: the pause is between half of its length and its full length.
 * - `full`: the pause is between 0 and its length.
 */
export type Jitter = 'none' | 'half' | 'full';

/**
 * The maximum number of doublings. After 32 doublings every pause has reached its upper bound. A much higher power of
 * 2 would be Infinity.
 */
const MAX_DOUBLINGS = 32;

/**
 * Returns the pause before the next attempt, in milliseconds. The pause doubles with each failure up to `maxMs`.
 * Jitter spreads the attempts of callers that failed at the same time.
 * @param failures the number of earlier pauses: 0 for the pause after the first failure
 * @param random a number from 0 to 1
 */
export function backoffMs(
  { initialMs, maxMs }: Backoff,
  failures: number,
  jitter: Jitter = 'none',
  random = Math.random(),
): number {
  const pauseMs = Math.min(maxMs, initialMs * 2 ** Math.min(failures, MAX_DOUBLINGS));
  if (jitter === 'none') return pauseMs;
  return jitter === 'full' ? random * pauseMs : (pauseMs / 2) * (1 + random);
}
