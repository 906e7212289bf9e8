const form =
  /^(\d{4}-\d\d-\d\d)T((?:[01]\d|2[0-3]):[0-5]\d:)([0-5]\d|60)(\.\d{1,9})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Milliseconds since the epoch of a time as RFC 3339 writes it; undefined where the text is none. */
export function parseTime(text: string): number | undefined {
  const [, date = '', minute, second, fraction = '', zone] = form.exec(text.toUpperCase()) ?? [];
  if (!isDate(date)) return undefined;
  // Date knows no leap seconds.
  return Date.parse(`${date}T${minute}${second === '60' ? '59' : second}${fraction}${zone}`);
}

/** Date would take 30 February for 2 March. */
function isDate(text: string): boolean {
  const midnight = new Date(text);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(text);
}
