import test from 'ava';
import { parts, readOptions } from '../../bench/options.js';

test('without arguments every part runs, beside Node 24', (t) => {
  const options = readOptions([]);
  t.deepEqual([options?.parts, options?.node, options?.isNodeGiven], [parts, '24', false]);
});

test('named parts run in the order of the benchmark', (t) => {
  t.deepEqual(readOptions(['soak', 'counts', '--calls', '5000000'])?.parts, ['counts', 'soak']);
  t.is(readOptions(['soak', '--calls', '5000000'])?.soakCalls, 5_000_000);
});

test('the quick form measures fewer servers in this Node', (t) => {
  const options = readOptions(['--quick']);
  t.deepEqual([options?.parts, options?.node], [['counts', 'rounds'], 'none']);
});

test('lists of numbers are read', (t) => {
  t.deepEqual(readOptions(['processes', '--processes', '1,2,4'])?.processes, [1, 2, 4]);
});

test('help gives no options', (t) => {
  t.is(readOptions(['--help']), undefined);
});

test('unknown parts and invalid values are refused', (t) => {
  for (const args of [
    ['rest'],
    ['--rounds', '0'],
    ['--processes', '1,x'],
    ['--engine', 'mysql'],
    ['--fast'],
  ]) {
    t.throws(() => readOptions(args), { instanceOf: TypeError }, args.join(' '));
  }
});
