import type { RetryOptions } from '../destination/destination.js';
import { RetryLaterError } from '../errors.js';

/**
 * How long to wait after the n-th failed attempt, in milliseconds: twice as long each time up to the longest,
 * the upper half of it by chance, so that what failed together does not come back together.
 * @param random from 0 to 1
 */
function backoffMs(retry: Required<RetryOptions>, attempt: number, random: number): number {
  const longest = Math.min(retry.maxBackoffMs, retry.initialBackoffMs * 2 ** Math.min(attempt - 1, 32));
  return Math.round((longest / 2) * (1 + random));
}

/** The pause after a failed attempt, in milliseconds: as long as the receiver asks for at least, and the longest at most. */
export function pauseAfter(
  error: unknown,
  retry: Required<RetryOptions>,
  attempt: number,
  random: number,
): number {
  const ownMs = backoffMs(retry, attempt, random);
  if (!(error instanceof RetryLaterError && error.retryAfterMs > ownMs)) return ownMs;
  return Math.ceil(Math.min(error.retryAfterMs, Math.max(ownMs, retry.maxBackoffMs)));
}
