/** The longest that a timer of Node can wait; it takes a longer time for none at all. */
export const LONGEST_MS = 2 ** 31 - 1;

/**
 * Checks a number that an option gives.
 * @throws TypeError it is not a whole number from 1 to `most`; the message names the option
 */
export function assertWhole(name: string, value: number | undefined, most = Number.MAX_SAFE_INTEGER): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1 && value <= most)) return;
  throw new TypeError(`${name} must be a whole number from 1 to ${most}, not ${value}`);
}
