/**
 * Parses a `Retry-After` header (RFC 9110, section 10.2.3): a number of seconds, or an HTTP date. Returns
 * milliseconds from `nowMs` on, or undefined if the header is absent or malformed.
 */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  // `Date.parse` also accepts many texts that are not HTTP dates.
  const at = /^[A-Z][a-z]{2,8},? .*GMT$/.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
