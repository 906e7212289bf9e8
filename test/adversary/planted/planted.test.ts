import test from 'ava';
import { freshDatabase } from '../../helpers/databases/postgres.js';
import { inspectMachine } from '../machine.js';
import { findBug } from '../run-planted.js';
import { type BugName, bugs } from './bugs.js';

/** The bugs that a short round finds. `npm run adversary -- --planted` plants all of them. */
const quick: readonly BugName[] = ['purge-live-record', 'no-unique-index'];

for (const name of quick) {
  test.serial(`the judge finds a planted bug: ${bugs[name].title}`, async (t) => {
    t.timeout(120_000);
    const seed = Math.floor(Math.random() * 2 ** 31);
    t.log(`seed ${seed}`);
    const url = bugs[name].engine === 'postgres' ? await freshDatabase(t) : undefined;
    const finding = await findBug(name, inspectMachine(), seed, url, 1_200);
    t.truthy(finding, 'a violation within 60 seconds');
    t.log(`after ${finding?.durationMs} ms: ${finding?.violations[0]?.what}`);
  });
}
