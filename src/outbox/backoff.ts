const FIRST_MS = 250;
const LONGEST_MS = 60_000;

/**
 * How long to wait after the n-th failed attempt, in milliseconds: twice as long each time up to a minute,
 * the upper half of it by chance, so that what failed together does not come back together.
 * @param random from 0 to 1
 */
export function backoffMs(attempt: bigint, random: number): number {
  const doublings = Math.min(Number(attempt) - 1, 20);
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** doublings);
  return Math.round((longest / 2) * (1 + random));
}
