import test from 'ava';
import fc from 'fast-check';
import { parseTime } from 'grpc-replay-guard/protocol';
import { formatTime } from '#library/protocol/rfc3339.js';
import { assertProperty } from '../helpers/messages/assert-property.js';

const valid: Record<string, string> = {
  '2026-01-31T08:30:00Z': '2026-01-31T08:30:00.000Z',
  '2026-01-31t08:30:00z': '2026-01-31T08:30:00.000Z',
  '2026-01-31T08:30:00.123456789Z': '2026-01-31T08:30:00.123Z',
  '2026-01-31T08:30:00+05:30': '2026-01-31T03:00:00.000Z',
  '2026-01-31T08:30:00-00:00': '2026-01-31T08:30:00.000Z',
  '2024-02-29T00:00:00Z': '2024-02-29T00:00:00.000Z',
};

for (const [text, expected] of Object.entries(valid)) {
  test(`${text} is read as a time`, (t) => {
    t.is(parseTime(text), Date.parse(expected));
  });
}

test('a leap second counts as the second before it', (t) => {
  t.is(parseTime('2016-12-31T23:59:60Z'), Date.parse('2016-12-31T23:59:59Z'));
});

const invalid = [
  '',
  'yesterday',
  '2026-01-31',
  '2026-01-31T08:30Z',
  '2026-01-31T08:30:00',
  '2026-01-31 08:30:00Z',
  '2026-02-30T00:00:00Z',
  '2025-02-29T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-01-31T24:00:00Z',
  '2026-01-31T08:60:00Z',
  '2026-01-31T08:30:61Z',
  '2026-01-31T08:30:00.Z',
  '2026-01-31T08:30:00.1234567890Z',
  '2026-01-31T08:30:00+24:00',
  '1769848200000',
];

test('a text of another form is not a time', (t) => {
  for (const text of invalid) t.is(parseTime(text), undefined, text);
});

test('a time is formatted as Date formats it, also directly before or after another time', async (t) => {
  const [first, last] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')];
  const anyTime = fc.integer({ min: first, max: last });
  await assertProperty(
    t,
    fc.property(anyTime, fc.integer({ min: -2_000, max: 2_000 }), (time, distance) => {
      for (const ms of [time, time + distance, time]) {
        if (ms >= first && ms <= last) t.is(formatTime(ms), new Date(ms).toISOString());
      }
    }),
    2_000,
  );
  for (const ms of [first, last, last + 0.5, 0.5, 999.9, -0.5, -1_000.5, 1_790_000_000_099.25])
    t.is(formatTime(ms), new Date(ms).toISOString());
  for (const ms of [first - 1, last + 1, 8.64e15, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => formatTime(ms), { instanceOf: RangeError });
  }
});
