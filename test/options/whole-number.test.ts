import test from 'ava';
import { assertWholeNumber, MAX_TIMER_MS } from '#library/options/whole-number.js';

test('a whole number within its bounds passes, and so does undefined', (t) => {
  for (const value of [undefined, 1, 5, Number.MAX_SAFE_INTEGER]) {
    t.notThrows(() => assertWholeNumber('limit', value));
  }
  t.notThrows(() => assertWholeNumber('limit', 0, { min: 0 }));
  t.notThrows(() => assertWholeNumber('limit', MAX_TIMER_MS, { max: MAX_TIMER_MS }));
});

test('a value outside of its bounds is refused with a message that names the option', (t) => {
  for (const value of [1, 4]) {
    t.throws(() => assertWholeNumber('limit', value, { min: 2, max: 3 }), {
      instanceOf: TypeError,
      message: `limit must be a whole number from 2 to 3, not ${value}`,
    });
  }
});

test('a value of another kind is refused', (t) => {
  for (const value of [0.5, Number.NaN, Infinity, 2 ** 53, '1', null, 1n]) {
    t.throws(() => assertWholeNumber('limit', value as number), { instanceOf: TypeError });
  }
});
