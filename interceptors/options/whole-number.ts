/** The maximum delay of a Node timer, in milliseconds. Node fires a timer with a longer delay at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** The inclusive bounds of a whole number. */
export interface Bounds {
  /** Default: 1. */
  readonly min?: number;
  /** Default: 2^53 - 1. */
  readonly max?: number;
}

/**
 * Checks an option whose value must be a whole number. Undefined is valid and stands for the default.
 * @throws TypeError when the value is not a whole number within the bounds; the message names the option
 */
export function assertWholeNumber(name: string, value: number | undefined, bounds: Bounds = {}): void {
  const { min = 1, max = Number.MAX_SAFE_INTEGER } = bounds;
  if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) return;
  throw new TypeError(`${name} must be a whole number from ${min} to ${max}, not ${value}`);
}
