import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { freshFolder } from '../helpers/databases/engines.js';
import { type Place, readPanels, sentExpression } from './dashboard.js';
import { missingFrom, scrape } from './scrape.js';
import { selectorsOf } from './series.js';

const panels = await readPanels();
const queries = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
);

test('a scrape of a shop without calls has each metric, label and value that the dashboard names', async (t) => {
  const series = await scrape(t);
  t.true(queries.length >= 30);
  for (const { title, expr } of queries) {
    t.true(selectorsOf(expr).length > 0, title);
    t.deepEqual(missingFrom(series, expr), [], title);
  }
});

test('a legend of the dashboard names only labels that its query keeps', (t) => {
  for (const { title, expr, legendFormat } of queries)
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
      t.regex(expr, new RegExp(`by \\([^)]*\\b${label}\\b`), title);
});

test('each panel of the dashboard has its own id, and overlaps no other panel', (t) => {
  t.is(new Set(panels.map(({ id }) => id)).size, panels.length);
  const overlap = (a: Place, b: Place) =>
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
  for (const [index, { title, gridPos }] of panels.entries()) {
    t.true(gridPos.x + gridPos.w <= 24, title);
    for (const other of panels.slice(index + 1)) t.false(overlap(gridPos, other.gridPos), title);
  }
});

test('Prometheus can parse each query of the dashboard', async (t) => {
  const rules = queries.map(({ expr }, index) => ({
    record: `query_${index}`,
    expr: sentExpression(expr, '.*', '5m'),
  }));
  const file = join(await freshFolder(t), 'queries.json');
  await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  const checked = await promisify(execFile)('promtool', ['check', 'rules', file]).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (checked) t.regex(checked.stdout, new RegExp(`SUCCESS: ${rules.length} rules found`));
  else t.log('promtool is not installed, so no query of the dashboard was parsed');
});
