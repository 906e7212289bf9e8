import test from 'ava';
import { MAJORS, readOptions } from './options.js';

test('without arguments every version runs', (t) => {
  t.deepEqual(readOptions([]), { majors: MAJORS, full: false });
});

test('the arguments choose versions and complete runs', (t) => {
  t.deepEqual(readOptions(['24', '--full', '20']), { majors: [24, 20], full: true });
  t.is(readOptions(['--help']), undefined);
});

test('an unknown version or option is refused', (t) => {
  for (const args of [['18'], ['x'], ['24.1'], ['--short']])
    t.throws(() => readOptions(args), { instanceOf: TypeError });
});
