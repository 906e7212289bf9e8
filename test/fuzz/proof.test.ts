import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { targets } from './targets/index.js';

const root = new URL('../../../', import.meta.url);
const proof = readFileSync(new URL('docs/proof.md', root), 'utf8');
const firstCells = proof.split('\n').flatMap((line) => /^\| (.+?) \|/.exec(line)?.[1] ?? []);

test('docs/proof.md names every target and every planted bug of the fuzzing', (t) => {
  const titles = Object.values(targets).flatMap(({ title, planted }) => [title, planted]);
  t.deepEqual(
    titles.filter((title) => !firstCells.includes(title)),
    [],
  );
});

test('every folder of the corpus has the name of a target', (t) => {
  const folders = readdirSync(new URL('test/fuzz/corpus/', root));
  t.deepEqual(
    folders.filter((folder) => !Object.hasOwn(targets, folder)),
    [],
  );
});
