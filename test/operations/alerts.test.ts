import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import test from 'ava';
import { alertRules, FOLDER } from './alert-rules.js';
import { missingFrom, scrape } from './scrape.js';
import { selectorsOf, seriesOf } from './series.js';

const run = promisify(execFile);

test('a scrape of a shop without calls has each metric, label and value that the alert rules name', async (t) => {
  const series = await scrape(t);
  const rules = await alertRules();
  t.true(rules.length >= 15);
  for (const { name, expression } of rules) {
    t.true(selectorsOf(expression).length > 0, name);
    t.deepEqual(missingFrom(series, expression), [], name);
  }
});

test('an expression with an unknown metric, label or value is reported', (t) => {
  const series = seriesOf('shop_ready 1\nreplay_guard_records{state="kept"} 3\n');
  const missing = (expression: string) => missingFrom(series, expression).length;
  t.is(missing('min by (job, instance) (shop_ready{job="a"})'), 0);
  t.is(missing('sum by (state) (replay_guard_records{state=~"kept|lost"})'), 0);
  t.is(missing('shop_gone'), 1);
  t.is(missing('replay_guard_records{state="lost"}'), 1);
  t.is(missing('replay_guard_records{kind!="kept"}'), 1);
  t.is(missing('sum by (method) (replay_guard_records)'), 1);
});

test('each alert has a severity, a summary, a description, and a section of the runbook of its own', async (t) => {
  const runbook = await readFile(`${FOLDER}/runbook.md`, 'utf8');
  const sections = new Map(
    runbook.split(/^## /m).map((section): [string, string] => {
      const title = section.split('\n', 1)[0] ?? '';
      return [title.toLowerCase().replaceAll(' ', '-'), section];
    }),
  );
  const rules = await alertRules();
  for (const { name, text } of rules) {
    t.regex(text, /^ {10}severity: (warning|critical)$/m, name);
    t.regex(text, /^ {10}summary: '.+'$/m, name);
    t.regex(text, /^ {10}description: '.+'$/m, name);
    const section = /^ {10}runbook_url: docs\/operations\/runbook\.md#(\S+)$/m.exec(text)?.[1] ?? '';
    t.true(sections.get(section)?.includes(`\n\`${name}\`. `), name);
  }
  t.is(sections.size - 1, rules.length);
});

test('each alert rule fires in a case, and stays silent in another', async (t) => {
  const cases = await readFile(`${FOLDER}/alerts.test.yml`, 'utf8');
  for (const { name } of await alertRules())
    for (const outcome of ['fires', 'stays silent'])
      t.true(cases.includes(`  - name: ${name} ${outcome}\n`), `${name} ${outcome}`);
  const promtool = (...words: string[]) => run('promtool', words, { cwd: FOLDER });
  const version = await promtool('--version').catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (!version) {
    t.log('promtool is not installed, so `promtool check rules` and `promtool test rules` did not run');
    return;
  }
  t.regex((await promtool('check', 'rules', 'alerts.yml')).stdout, /SUCCESS: 15 rules found/);
  t.regex((await promtool('test', 'rules', 'alerts.test.yml')).stdout, /SUCCESS/);
});
