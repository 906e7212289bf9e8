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

/** Whether the date exists. Without this check Date would read 30 February as 2 March. */
function isDate(text: string): boolean {
  const midnight = new Date(text);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(text);
}
