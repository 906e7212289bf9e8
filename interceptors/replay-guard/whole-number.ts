/** The longest that a timer of Node can wait; it takes a longer time for none at all. */
export const LONGEST_MS = 2 ** 31 - 1;

export interface Bounds {
  /** Default: 1. */
  readonly least?: number;
  /** Default: 2^53 - 1. */
  readonly most?: number;
}

/**
 * Checks a number that an option gives; one that is left out is for its default.
 * @throws TypeError it is not a whole number within the bounds; the message names the option
 */
export function assertWhole(name: string, value: number | undefined, bounds: Bounds = {}): void {
  const { least = 1, most = Number.MAX_SAFE_INTEGER } = bounds;
  if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return;
  throw new TypeError(`${name} must be a whole number from ${least} to ${most}, not ${value}`);
}
