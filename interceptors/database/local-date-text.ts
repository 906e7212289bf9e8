/**
 * Returns a date as local time with its offset from UTC, as pg sends it. A TIMESTAMP without a time zone keeps the local
 * time, and pg reads it as local time.
 * @throws TypeError when the date is not valid
 */
export function localDateText(date: Date): string {
  if (Number.isNaN(date.getTime())) throw new TypeError('a date parameter must be a valid date');
  const local = new Date(0);
  local.setUTCFullYear(date.getFullYear(), date.getMonth(), date.getDate());
  local.setUTCHours(date.getHours(), date.getMinutes(), date.getSeconds(), date.getMilliseconds());
  const seconds = Math.round((local.getTime() - date.getTime()) / 1_000);
  // A text column keeps this text. JavaScript reads a distance only without its seconds.
  const distance = new Date(Math.abs(seconds) * 1_000).toISOString().slice(11, 19).replace(/:00$/, '');
  const year = local.getUTCFullYear();
  const digits = String(year > 0 ? year : 1 - year).padStart(4, '0');
  const rest = local
    .toISOString()
    .replace(/^[+-]?\d+/, '')
    .slice(0, -1);
  return `${digits}${rest}${seconds < 0 ? '-' : '+'}${distance}${year > 0 ? '' : ' BC'}`;
}
