import test from 'ava';
import { kindOf, PacedLog } from '#src/platform/paced-log.js';

test('the first event of a kind is logged at once, and later events are counted', (t) => {
  const paced = new PacedLog(60_000);
  const lines: [kind: string, events: number][] = [];
  const add = (kind: string) => paced.add(kind, (events) => lines.push([kind, events]));
  for (let event = 0; event < 1_000; event++) add('a');
  add('b');
  t.deepEqual(lines, [
    ['a', 1],
    ['b', 1],
  ]);
});

test('a line after the interval has the number of events since the line before', (t) => {
  let now = 0;
  const paced = new PacedLog(60_000, () => now);
  const lines: [atMs: number, events: number][] = [];
  for (; now <= 120_000; now += 5_000) paced.add('a', (events) => lines.push([now, events]));
  t.deepEqual(lines, [
    [0, 1],
    [60_000, 12],
    [120_000, 12],
  ]);
});

test('the kind of an error depends on the classes and codes of the error and its causes', (t) => {
  const error = (code: string, cause?: Error) => Object.assign(new Error('x', { cause }), { code });
  t.is(kindOf(error('A')), kindOf(error('A')));
  t.not(kindOf(error('A')), kindOf(error('B')));
  t.not(kindOf(error('A', error('C'))), kindOf(error('A', error('D'))));
  t.not(kindOf(new TypeError('x')), kindOf(new RangeError('x')));
  t.is(kindOf('text'), kindOf(undefined));
  const circle = error('A');
  circle.cause = circle;
  t.is(kindOf(circle), Array(6).fill('Error A').join(' < '));
});
