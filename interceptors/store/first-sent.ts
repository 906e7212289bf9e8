import { type ClaimRequest, type FirstSent, MAX_FIRST_SENT_AHEAD_MS } from './store.js';

type Judged = Pick<ClaimRequest, 'sent' | 'retentionMs'>;

/**
 * The time in whole milliseconds, in doubt against the caller. Who does not say when the operation was first
 * sent is neither too old nor too far ahead.
 */
export function sentTime({ sent }: Pick<ClaimRequest, 'sent'>): FirstSent {
  if (!sent) return { earliestMs: Number.MAX_SAFE_INTEGER, latestMs: 0 };
  return { earliestMs: Math.floor(sent.earliestMs), latestMs: Math.ceil(sent.latestMs) };
}

/** Whether the operation says to have been first sent in the future; `now` is the store's clock. */
export function isTooFarAhead(request: Judged, now: number): boolean {
  return sentTime(request).latestMs > now + MAX_FIRST_SENT_AHEAD_MS;
}

/** Whether a record of the operation's first attempt could have been purged by now. */
export function isTooOld(request: Judged, now: number): boolean {
  return sentTime(request).earliestMs + request.retentionMs <= now;
}

/** Until when the key of a claim is retained, at least: what was first sent ahead of the clock is too old later. */
export function retainedUntil(request: Judged, now: number): number {
  const begin = request.sent ? Math.max(now, sentTime(request).earliestMs) : now;
  return begin + request.retentionMs;
}
