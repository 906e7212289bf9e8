import type { TestFn } from 'ava';
import { type DataSource, dataAt, type Engine, freshData } from './engines.js';
import type { Cleanup } from './postgres.js';

/**
 * Returns a function that opens one Postgres database for all tests of a file. The tests may run at the same time and
 * must use different keys. The creation of a database takes longer than a test. SQLite has only one writer, so every
 * test gets its own file.
 */
export function sharedData(test: TestFn): (t: Cleanup, engine: Engine) => Promise<DataSource> {
  const ends: (() => void | Promise<void>)[] = [];
  let created: Promise<DataSource> | undefined;
  test.after.always(async () => {
    for (const end of ends.reverse()) await end();
  });
  return async (t, engine) => {
    if (engine === 'sqlite') return freshData(t, engine);
    created ??= freshData({ teardown: (end) => ends.push(end) }, engine);
    return dataAt(t, engine, (await created).url);
  };
}
