import { readFile, stat } from 'node:fs/promises';
import test from 'ava';
import { escaped } from '../../../bench/report/svg.js';
import { FOLDER } from '../alert-rules.js';
import { type Panel, readPanels } from '../dashboard.js';
import { linesOf } from './drawn-lines.js';
import { pictureOf } from './picture.js';
import { axisOf, textOf } from './units.js';

const series = (labels: Record<string, string>, ...values: number[]) => ({
  labels,
  samples: values.map((value, index): [number, number] => [index, value]),
});
const span = { from: 0, to: 60, phases: [{ title: 'a < b', from: 10, to: 20, color: '#eee' }] };

test('the committed picture shows each panel of the dashboard, and is small', async (t) => {
  const file = `${FOLDER}/dashboard.svg`;
  const picture = await readFile(file, 'utf8');
  for (const { title } of await readPanels()) t.true(picture.includes(`>${escaped(title)}</text>`), title);
  t.true((await stat(file)).size < 250_000);
});

test('a panel has its title, the phases of the load, axes with units, and a legend', (t) => {
  const panel: Panel = {
    ...{ id: 1, type: 'timeseries', title: 'Calls', gridPos: { x: 0, y: 0, w: 8, h: 8 } },
    fieldConfig: { defaults: { unit: 'reqps' } },
  };
  const answers = [
    { legendFormat: '{{code}}', series: [series({ code: 'OK' }, 0, 70), series({ code: 'ABORTED' }, 0, 0)] },
    { legendFormat: 'a day before', series: [] },
  ];
  const picture = pictureOf([{ panel, answers }], 'heading', span, 1);
  for (const text of ['heading', 'Calls', 'a &lt; b', '80 req/s', '0 min', '1 min', 'OK', '1 more: 0'])
    t.true(picture.includes(`>${text}</text>`), text);
  t.true(picture.includes('>a day before: no data</text>'));
});

test('stacked lines lie on each other, and a missing sample is a gap', (t) => {
  const answer = {
    legendFormat: '{{a}}',
    series: [series({ a: 'y' }, 1, 2), series({ a: 'x' }, 3, Number.NaN)],
  };
  const [x, y] = linesOf([answer], true, 1);
  t.deepEqual([x?.name, x?.points], ['x', [{ at: 0, bottom: 0, top: 3 }]]);
  t.deepEqual(y?.points, [
    { at: 0, bottom: 3, top: 4 },
    { at: 1, bottom: 0, top: 2 },
  ]);
  const gap = {
    labels: {},
    samples: [
      [0, 1],
      [1, 1],
      [5, 1],
    ] as [number, number][],
  };
  const [line] = linesOf([{ legendFormat: 'z', series: [gap] }], false, 1);
  t.deepEqual(
    line?.segments.map(({ length }) => length),
    [2, 1],
  );
});

test('an axis ends at a round value that is at least the highest one', (t) => {
  for (const [unit, highest, max, last] of [
    ['reqps', 61, 80, '80 req/s'],
    ['s', 0.03, 0.03, '30 ms'],
    ['s', 300, 300, '5 min'],
    ['percentunit', 0.45, 0.6, '60 %'],
    ['short', 0, 4, '4'],
  ] as const) {
    const axis = axisOf(unit, highest);
    t.true(Math.abs(axis.max - max) < 1e-9, `${unit} ${highest}: ${axis.max}`);
    t.is(textOf(unit, axis.max), last);
  }
});
