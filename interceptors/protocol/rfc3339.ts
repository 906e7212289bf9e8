const form =
  /^(\d{4}-\d\d-\d\d)T((?:[01]\d|2[0-3]):[0-5]\d:)([0-5]\d|60)(\.\d{1,9})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/**
 * Parses an RFC 3339 time. Returns milliseconds since the epoch, or undefined if the text has another form. A leap
 * second is read as the preceding second.
 */
export function parseTime(text: string): number | undefined {
  const [, date = '', minute, second, fraction = '', zone] = form.exec(text.toUpperCase()) ?? [];
  if (!isDate(date)) return undefined;
  // Date does not support leap seconds.
  return Date.parse(`${date}T${minute}${second === '60' ? '59' : second}${fraction}${zone}`);
}

/** The time range of a Date (ECMA-262, section 21.4.1.1). */
const MAX_DATE_MS = 8.64e15;

let formattedSecond = Number.NaN;
let secondAsText = '';

/**
 * Formats a time as `Date.toISOString` does: RFC 3339 in UTC, with milliseconds. Times of the same second share the
 * formatted second, because a server formats a time for each of its replies.
 * @param epochMs milliseconds since the epoch. A fraction is dropped: the clock of a store may have one.
 * @throws RangeError if a Date cannot represent the time
 */
export function formatTime(epochMs: number): string {
  if (!(Math.abs(epochMs) <= MAX_DATE_MS)) throw new RangeError('the time is out of the range of a Date');
  const time = Math.trunc(epochMs);
  const second = Math.floor(time / 1_000);
  if (second !== formattedSecond) {
    secondAsText = new Date(second * 1_000).toISOString().slice(0, -'.000Z'.length);
    formattedSecond = second;
  }
  const ms = time - second * 1_000;
  return `${secondAsText}.${ms < 100 ? String(ms).padStart(3, '0') : ms}Z`;
}

/** Whether the date exists. Without this check Date would read 30 February as 2 March. */
function isDate(text: string): boolean {
  const midnight = new Date(text);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(text);
}
