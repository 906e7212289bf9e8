import test from 'ava';
import { readOptions } from './options.js';
import { targets } from './targets/index.js';

test('without arguments every target runs with a random seed', (t) => {
  t.like(readOptions([]), { targets: Object.keys(targets), planted: false, keep: false, minutes: 10 });
});

test('the options choose targets, time, seed and one input', (t) => {
  const args = ['--target', 'times', '--minutes', '0.5', '--seed', '-7', '--path', '12:0:1'];
  const seed = ['--seed=-7'];
  t.like(readOptions([...args.filter((arg) => arg !== '--seed' && arg !== '-7'), ...seed]), {
    ...{ targets: ['times'], minutes: 0.5, seed: -7, path: '12:0:1' },
  });
});

for (const args of [
  ['--target', 'times,missing'],
  ['--minutes', '0'],
  ['--seed', 'x'],
  ['--path', '1'],
  ['--path', '1', '--seed', '1', '--target', 'times,settings'],
  ['--unknown'],
]) {
  test(`wrong options are refused: ${args.join(' ')}`, (t) => {
    t.throws(() => readOptions(args), { instanceOf: TypeError });
  });
}
