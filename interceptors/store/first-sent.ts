import { type ClaimRequest, type FirstSent, MAX_FIRST_SENT_AHEAD_MS } from './store.js';

type DatedRequest = Pick<ClaimRequest, 'firstSent' | 'retentionMs'>;

/**
 * Returns the bounds of the first-sent time in whole milliseconds. The earlier bound is rounded down and the later
 * bound up, so the checks become stricter. Without a first-sent time, the bounds pass every check.
 */
export function firstSentBounds({ firstSent }: Pick<ClaimRequest, 'firstSent'>): FirstSent {
  if (!firstSent) return { earliestMs: Number.MAX_SAFE_INTEGER, latestMs: 0 };
  return { earliestMs: Math.floor(firstSent.earliestMs), latestMs: Math.ceil(firstSent.latestMs) };
}

/**
 * Whether the first-sent time permits a new execution. The time must not be too far ahead of the store's clock. The
 * retention, counted from the first-sent time, must not have ended, because the record of the first attempt may then be
 * purged. A retained record answers the operation without this check.
 * @param now the time of the store's clock, in milliseconds
 * @param retentionNow the time by which the retention is judged, in milliseconds
 */
export function mayStart(request: DatedRequest, now: number, retentionNow: number): boolean {
  const { earliestMs, latestMs } = firstSentBounds(request);
  return latestMs <= now + MAX_FIRST_SENT_AHEAD_MS && earliestMs + request.retentionMs > retentionNow;
}

/**
 * Returns the minimum expiry of a claimed record, in milliseconds since the epoch. A first-sent time ahead of the
 * clock extends the retention. Otherwise the record could expire before the operation is too old, and the operation
 * could execute again.
 */
export function retainedUntil(request: DatedRequest, now: number): number {
  const begin = request.firstSent ? Math.max(now, firstSentBounds(request).earliestMs) : now;
  return begin + request.retentionMs;
}
