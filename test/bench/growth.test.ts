import test from 'ava';
import { growthOf } from '../../bench/soak/growth.js';

const bound = { bytes: 1_000, bytesPerCall: 1 };

function samples(bytesAt: (calls: number) => number) {
  return Array.from({ length: 21 }, (_, index) => ({ calls: index * 1_000, bytes: bytesAt(index * 1_000) }));
}

test('memory that grows with every call is not flat', (t) => {
  const growth = growthOf(
    samples((calls) => 5_000 + 2 * calls),
    bound,
  );
  t.is(Math.round(growth.bytesPerMillion), 2_000_000);
  t.is(Math.round(growth.allowedPerMillion), 1_100_000);
  t.false(growth.isFlat);
});

test('memory that grows until the caches are full is flat', (t) => {
  t.true(
    growthOf(
      samples((calls) => Math.min(calls, 9_000) * 100),
      bound,
    ).isFlat,
  );
});

test('memory that goes up and down is flat', (t) => {
  t.true(
    growthOf(
      samples((calls) => 1e6 + (calls % 3_000) / 10),
      bound,
    ).isFlat,
  );
});

test('memory that shrinks is flat', (t) => {
  t.true(
    growthOf(
      samples((calls) => 1e6 - calls),
      bound,
    ).isFlat,
  );
});
