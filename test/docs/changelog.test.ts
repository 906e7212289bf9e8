import { readFileSync } from 'node:fs';
import test from 'ava';

const changelog = readFileSync(new URL('../../../CHANGELOG.md', import.meta.url), 'utf8');

/** Returns the entries of a changelog, each on one line. A table is not an entry. */
function entriesOf(text: string): string[] {
  const items = text.split(/\n(?=- )|\n\n/).filter((item) => item.startsWith('- '));
  return items.map((item) => item.replaceAll(/\s+/g, ' ').trim());
}

test('the changelog has each entry once', (t) => {
  const entries = entriesOf(changelog);
  const starts = entries.map((entry) => entry.slice(0, 80));
  t.deepEqual(
    starts.filter((start, index) => starts.indexOf(start) !== index),
    [],
  );
  t.true(entries.length > 100);
});
