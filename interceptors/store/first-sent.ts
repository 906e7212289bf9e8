import { type ClaimRequest, type FirstSent, MAX_FIRST_SENT_AHEAD_MS } from './store.js';

type DatedRequest = Pick<ClaimRequest, 'firstSent' | 'retentionMs'>;

/**
 * The bounds of the first-sent time in whole milliseconds, rounded to the disadvantage of the caller. A request
 * without a first-sent time gets bounds that are neither too old nor too far ahead.
 */
export function firstSentBounds({ firstSent }: Pick<ClaimRequest, 'firstSent'>): FirstSent {
  if (!firstSent) return { earliestMs: Number.MAX_SAFE_INTEGER, latestMs: 0 };
  return { earliestMs: Math.floor(firstSent.earliestMs), latestMs: Math.ceil(firstSent.latestMs) };
}

/** Whether the first-sent time is too far in the future. @param now the time of the store's clock, in milliseconds */
export function isTooFarAhead(request: DatedRequest, now: number): boolean {
  return firstSentBounds(request).latestMs > now + MAX_FIRST_SENT_AHEAD_MS;
}

/**
 * Whether a record of the first attempt could already be purged.
 * @param now the time of the store's clock, in milliseconds
 */
export function isTooOld(request: DatedRequest, now: number): boolean {
  return firstSentBounds(request).earliestMs + request.retentionMs <= now;
}

/**
 * The earliest expiry of a claimed record, in milliseconds since the epoch. A first-sent time ahead of the clock
 * extends the retention, because the operation becomes too old later.
 */
export function retainedUntil(request: DatedRequest, now: number): number {
  const begin = request.firstSent ? Math.max(now, firstSentBounds(request).earliestMs) : now;
  return begin + request.retentionMs;
}
