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

/** The first time that RFC 3339 can state: the beginning of the year 0, in milliseconds since the epoch. */
const MIN_TIME_MS = Date.parse('0000-01-01T00:00:00Z');

/** The last time that RFC 3339 can state, to the millisecond: the end of the year 9999. */
export const MAX_TIME_MS = Date.UTC(10_000, 0) - 1;

let formattedSecond = Number.NaN;
let secondAsText = '';

/**
 * Formats a time as `Date.toISOString` does: RFC 3339 in UTC, with milliseconds. Times of the same second share the
 * formatted second, because a server formats a time for each of its replies.
 * @param epochMs milliseconds since the epoch. A fraction is dropped: the clock of a store may have one.
 * @throws RangeError if the year of the time does not have four digits
 */
export function formatTime(epochMs: number): string {
  const time = Math.trunc(epochMs);
  if (!(time >= MIN_TIME_MS && time <= MAX_TIME_MS))
    throw new RangeError('the year of the time must have four digits');
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
