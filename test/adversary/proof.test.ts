import { readFileSync } from 'node:fs';
import test from 'ava';
import { faults } from './faults/index.js';
import { bugs } from './planted/bugs.js';

const proof = readFileSync(new URL('../../../docs/proof.md', import.meta.url), 'utf8');
const firstCells = proof.split('\n').flatMap((line) => /^\| (.+?) \|/.exec(line)?.[1] ?? []);

test('docs/proof.md names every fault and every planted bug', (t) => {
  const titles = [...Object.values(faults), ...Object.values(bugs)].map(({ title }) => title);
  t.deepEqual(
    titles.filter((title) => !firstCells.includes(title)),
    [],
  );
});
