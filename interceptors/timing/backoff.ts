export interface Backoff {
  /** The pause after the first failure, in milliseconds. */
  readonly initialMs: number;
  /** The longest pause, in milliseconds. */
  readonly maxMs: number;
}

/** How chance shortens a pause: not at all, by at most half of it, or by at most all of it. */
export type Jitter = 'none' | 'half' | 'full';

/** 2^32 times any pause is beyond every limit; a higher power would be Infinity. */
const MAX_DOUBLINGS = 32;

/**
 * The pause before the next attempt, in milliseconds: it doubles with each failure up to the longest one. Jitter keeps
 * callers that failed together from coming back together.
 * @param failures how many attempts have failed before this pause, less one: 0 for the first pause
 * @param random a number from 0 to 1
 */
export function backoffMs(
  { initialMs, maxMs }: Backoff,
  failures: number,
  jitter: Jitter = 'none',
  random = Math.random(),
): number {
  const longest = Math.min(maxMs, initialMs * 2 ** Math.min(failures, MAX_DOUBLINGS));
  if (jitter === 'none') return longest;
  return jitter === 'full' ? random * longest : (longest / 2) * (1 + random);
}
