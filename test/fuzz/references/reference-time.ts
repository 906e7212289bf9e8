/**
 * Reads an RFC 3339 time as the grammar of section 5.6 says, character by character, without `Date`. A leap second
 * is read as the second before it. Returns milliseconds since the epoch, or undefined.
 */
export function referenceTime(text: string): number | undefined {
  let at = 0;
  const digits = (count: number): number => {
    let number = 0;
    for (let index = 0; index < count; index++, at++) {
      const digit = text.charCodeAt(at) - 48;
      if (!(digit >= 0 && digit <= 9)) return Number.NaN;
      number = number * 10 + digit;
    }
    return number;
  };
  const is = (characters: string) => at < text.length && characters.includes(text[at++] as string);
  const year = digits(4);
  if (!is('-')) return undefined;
  const month = digits(2);
  if (!is('-')) return undefined;
  const day = digits(2);
  if (!is('Tt')) return undefined;
  const hour = digits(2);
  if (!is(':')) return undefined;
  const minute = digits(2);
  if (!is(':')) return undefined;
  const second = digits(2);
  let ms = 0;
  if (text[at] === '.') {
    at++;
    const start = at;
    while (at < text.length && text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57) at++;
    if (at === start || at - start > 9) return undefined;
    ms = Number(text.slice(start, at).padEnd(3, '0').slice(0, 3));
  }
  const zone = text[at++];
  let offset = 0;
  if (zone === '+' || zone === '-') {
    const hours = digits(2);
    if (!is(':')) return undefined;
    const minutes = digits(2);
    if (!(hours <= 23 && minutes <= 59)) return undefined;
    offset = (hours * 60 + minutes) * (zone === '+' ? 1 : -1);
  } else if (zone !== 'Z' && zone !== 'z') {
    return undefined;
  }
  const isValid =
    year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) && hour <= 23;
  if (at !== text.length || !isValid || !(minute <= 59 && second <= 60)) return undefined;
  const days = daysBefore(year, month) + day - 1;
  const seconds = Math.min(second, 59) + 60 * (minute - offset) + 3_600 * hour;
  return (days * 86_400 + seconds) * 1_000 + ms;
}

const isLeap = (year: number) => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

function daysIn(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** The days from 1970-01-01 to the first day of a month. */
function daysBefore(year: number, month: number): number {
  let days = 0;
  for (let before = 1; before < month; before++) days += daysIn(year, before);
  const leaps = (until: number) => Math.floor(until / 4) - Math.floor(until / 100) + Math.floor(until / 400);
  return days + 365 * (year - 1970) + leaps(year - 1) - leaps(1969);
}
