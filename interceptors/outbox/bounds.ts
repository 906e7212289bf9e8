import { LONGEST_MS } from '../replay-guard/whole-number.js';

/**
 * Checks a number that an option gives: timers take more than the longest time for none at all, and statements take
 * no fractions.
 * @throws RangeError it is not a whole number from `least` to `most`
 */
export function assertBounds(option: string, value: number, least: number, most = LONGEST_MS): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${option} must be a whole number from ${least} to ${most}, not ${value}`);
}
