import { backoffMs } from '../../timing/backoff.js';
import type { RetryOptions } from '../destination/destination.js';
import { RetryLaterError } from '../errors.js';

/**
 * Returns the pause after a failed attempt, in milliseconds: a backoff with half jitter. A RetryLaterError
 * can lengthen the pause up to `maxBackoffMs`.
 * @param attempt the number of the failed attempt, from 1 on
 * @param random a number from 0 to 1
 */
export function pauseAfter(
  error: unknown,
  retry: Required<RetryOptions>,
  attempt: number,
  random: number,
): number {
  const backoff = { initialMs: retry.initialBackoffMs, maxMs: retry.maxBackoffMs };
  const pauseMs = Math.round(backoffMs(backoff, attempt - 1, 'half', random));
  if (!(error instanceof RetryLaterError && error.retryAfterMs > pauseMs)) return pauseMs;
  return Math.ceil(Math.min(error.retryAfterMs, Math.max(pauseMs, retry.maxBackoffMs)));
}
