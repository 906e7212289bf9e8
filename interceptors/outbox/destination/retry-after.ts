/**
 * What a `Retry-After` header asks for, in milliseconds from `nowMs` on: it holds seconds, or an HTTP date. Undefined
 * where there is none that can be read.
 */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  // `Date.parse` takes much for a date that is none in HTTP.
  const at = /^[A-Z][a-z]{2,8},? .*GMT$/.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
