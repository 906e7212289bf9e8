import test from 'ava';
import { clockValue } from '#library/timing/clock.js';

test('the time of a clock is a whole number of milliseconds', (t) => {
  t.is(
    clockValue(() => 1_234.9),
    1_234,
  );
});

test('without a clock the value is null, so that the database uses its own', (t) => {
  t.is(clockValue(undefined), null);
});
