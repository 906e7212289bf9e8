import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { snippets } from './snippets.js';

const root = new URL('../../../', import.meta.url);
const guide = 'docs/guide/adoption.md';
const example = new URL('examples/nestjs-kysely/', root);
const sources = ['payments.proto', ...readdirSync(new URL('src', example)).map((name) => `src/${name}`)];
const read = (name: string) => readFileSync(new URL(name, example), 'utf8');
const changes = snippets(guide, 'diff').map((text) => text.trimEnd().split('\n'));
const withSign = (sign: string) => changes.flat().filter((line) => line.startsWith(sign)).length;

test('the changes in the guide to adoption lead to the files of the example', (t) => {
  const texts = [...sources, 'package.json'].map(read);
  const hunks = changes.flatMap((lines) => lines.join('\n').split('\n@@\n'));
  t.true(hunks.length > 4);
  for (const hunk of hunks) {
    const after = hunk
      .split('\n')
      .filter((line) => !line.startsWith('-'))
      .map((line) => line.slice(1))
      .join('\n');
    t.true(
      texts.some((text) => text.includes(`${after}\n`)),
      after,
    );
  }
});

test('the figures in the guide to adoption are those of its changes and of the example', (t) => {
  const text = readFileSync(new URL(guide, root), 'utf8');
  const [added, removed] = [withSign('+'), withSign('-')];
  const lines = sources.map((name) => read(name).split('\n').length - 1).reduce((sum, one) => sum + one);
  // One of the added lines is in package.json, which is not a source.
  const before = lines - (added - 1) + removed;
  t.true(text.includes(`| ${before} and ${lines} lines, in six files |`), `${before} and ${lines}`);
  t.true(text.includes(`| ${added} added, ${removed} removed, in five files |`), `${added}, ${removed}`);
  t.is(sources.length, 6);
});
