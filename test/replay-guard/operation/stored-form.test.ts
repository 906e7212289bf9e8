import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { StoredForm } from '#library/replay-guard/operation/stored-form.js';

setFlagsFromString('--expose_gc');
const collectGarbage: () => void = runInNewContext('gc');

test('the stored forms of scopes with long names are cached up to 10,000,000 characters', (t) => {
  const form = new StoredForm('pepper', 0, 'everything');
  // A text of one part: a concatenation would share its memory.
  const scopeOf = (caller: number) => Buffer.alloc(100_000, `${caller} `).toString('latin1');
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const stored = new Set(Array.from({ length: 400 }, (_, caller) => form.scope(scopeOf(caller))));
  collectGarbage();
  const keptBytes = process.memoryUsage().heapUsed - before;
  t.true(keptBytes < 20_000_000, `${keptBytes} bytes`);
  t.is(stored.size, 400);
  t.is(form.scope(scopeOf(0)), new StoredForm('pepper', 0, 'everything').scope(scopeOf(0)));
});
