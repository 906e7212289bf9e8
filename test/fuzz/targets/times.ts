import fc from 'fast-check';
import { parseTime } from 'grpc-replay-guard/protocol';
import { formatTime, MAX_TIME_MS } from '#library/protocol/rfc3339.js';
import { mutateText, mutations } from '../inputs/mutations.js';
import { referenceTime } from '../references/reference-time.js';
import { must, type Target } from '../target.js';

/** A text that should be read, and a time that should be written. */
interface TimeInput {
  readonly text: string;
  readonly ms: number;
}

const MIN_TIME_MS = -62_167_219_200_000;
const padded = (max: number, width: number) =>
  fc.nat(max).map((number) => String(number).padStart(width, '0'));
const year = fc.oneof(fc.constantFrom('0000', '1900', '1970', '2000', '2024', '9999'), padded(9_999, 4));
const fraction = fc.oneof(
  fc.constant(''),
  fc.tuple(fc.nat(999_999_999), fc.integer({ min: 0, max: 10 })).map(([number, width]) => {
    return `.${String(number).padStart(9, '0').slice(0, width)}`;
  }),
);
const zone = fc.oneof(
  fc.constantFrom('Z', 'z', '+00:00', '-00:00', '+23:59', '-23:59'),
  fc.tuple(fc.constantFrom('+', '-'), padded(25, 2), padded(61, 2)).map(([s, h, m]) => `${s}${h}:${m}`),
);
/** Texts in the form of RFC 3339. Some numbers are out of range. */
const formed = fc
  .tuple(year, padded(13, 2), padded(32, 2), padded(24, 2), padded(60, 2), padded(61, 2), fraction, zone)
  .map(([y, mo, d, h, mi, s, f, z]) => `${y}-${mo}-${d}T${h}:${mi}:${s}${f}${z}`);
const mutated = fc.tuple(formed, mutations).map(([text, changes]) => mutateText(text, changes));
const times = fc.oneof(
  fc.integer({ min: MIN_TIME_MS, max: MAX_TIME_MS }),
  fc.constantFrom(MIN_TIME_MS, MIN_TIME_MS - 1, MAX_TIME_MS, MAX_TIME_MS + 1, 8.64e15, 0, -0, -1),
  fc.double(),
);

/** RFC 3339 times, as clients state them and as the guard states them. */
export const timesTarget: Target<TimeInput> = {
  title: 'RFC 3339 times against a reference parser',
  inputs: fc.record({ text: fc.oneof(formed, mutated, fc.string()), ms: times }),
  quickRuns: 3_000,
  requires: ['times read', 'texts refused', 'times written'],
  planted: 'a time is read by Date.parse',
  open(_t, { planted, count }) {
    const parse = planted ? (text: string) => Date.parse(text) || undefined : parseTime;
    return {
      check({ text, ms }) {
        const expected = referenceTime(text);
        const actual = parse(text);
        must(actual === expected, `'${text}' is read as ${actual}, not as ${expected}`);
        count(actual === undefined ? 'texts refused' : 'times read');
        const isWritable = Math.trunc(ms) >= MIN_TIME_MS && Math.trunc(ms) <= MAX_TIME_MS;
        const written = attempt(() => formatTime(ms));
        must((written !== undefined) === isWritable, `the time ${ms} is written as ${written}`);
        if (written === undefined) return;
        must(
          parseTime(written) === Math.trunc(ms) + 0,
          `${ms} is written as ${written}, which is another time`,
        );
        count('times written');
      },
    };
  },
};

/** Returns undefined after the documented RangeError. */
function attempt(write: () => string): string | undefined {
  try {
    return write();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
