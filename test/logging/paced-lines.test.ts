import test from 'ava';
import { kindOf, PacedLines } from '#library/logging/paced-lines.js';
import { poll } from '../helpers/waiting/poll.js';

test('the first event of a kind is written at once, and later events of the interval are counted', (t) => {
  const paced = new PacedLines(60_000);
  const lines: [kind: string, suppressed: number][] = [];
  const add = (kind: string) => paced.add(kind, (suppressed) => lines.push([kind, suppressed]));
  for (let event = 0; event < 1_000; event++) add('a');
  add('b');
  t.deepEqual(lines, [
    ['a', 0],
    ['b', 0],
  ]);
});

test('the last event of an interval is written at its end, with the number of suppressed events', async (t) => {
  const paced = new PacedLines(50);
  const lines: [event: number, suppressed: number][] = [];
  for (let event = 0; event < 12; event++) paced.add('a', (suppressed) => lines.push([event, suppressed]));
  await poll('the second line', () => lines.length > 1);
  t.deepEqual(lines, [
    [0, 0],
    [11, 10],
  ]);
});

test('an event after a silent interval is written at once', async (t) => {
  const paced = new PacedLines(1);
  const lines: number[] = [];
  paced.add('a', (suppressed) => lines.push(suppressed));
  const since = performance.now();
  await poll('the end of the interval', () => performance.now() - since > 1);
  paced.add('a', (suppressed) => lines.push(suppressed));
  t.deepEqual(lines, [0, 0]);
});

test('the number of kinds is bounded: further kinds share one', (t) => {
  const paced = new PacedLines(60_000);
  let lines = 0;
  for (let kind = 0; kind < 5_000; kind++) paced.add(`kind ${kind}`, () => lines++);
  t.is(lines, 1_001);
});

test('a kind whose interval has ended makes room for a new one', async (t) => {
  const paced = new PacedLines(50);
  for (let kind = 0; kind < 1_000; kind++) paced.add(`former ${kind}`, () => {});
  const since = performance.now();
  await poll('the end of the interval', () => performance.now() - since > 50);
  const lines: number[] = [];
  for (let kind = 0; kind < 10; kind++) paced.add(`new ${kind}`, () => lines.push(kind));
  t.is(lines.length, 10);
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
