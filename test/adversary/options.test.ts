import test from 'ava';
import { faults } from './faults/index.js';
import { readOptions } from './options.js';

test('without arguments every fault runs on both engines', (t) => {
  t.like(readOptions([]), { faults: Object.keys(faults), engines: ['sqlite', 'postgres'], planted: false });
});

test('the options choose faults, engine, time and seed', (t) => {
  const args = ['--faults', 'kill,fsync', '--engine', 'sqlite', '--minutes', '0.5', '--seed', '7'];
  t.like(readOptions(args), { faults: ['kill', 'fsync'], engines: ['sqlite'], minutes: 0.5, seed: 7 });
});

for (const args of [
  ['--faults', 'kill,missing'],
  ['--engine', 'mysql'],
  ['--minutes', '0'],
  ['--seed', 'x'],
  ['--unknown'],
]) {
  test(`wrong options are refused: ${args.join(' ')}`, (t) => {
    t.throws(() => readOptions(args), { instanceOf: TypeError });
  });
}
