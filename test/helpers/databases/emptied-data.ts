import type { TestFn } from 'ava';
import { administer } from './administer.js';
import { isCitus } from './citus.js';
import { type DataSource, dataAt, type Engine, freshData } from './engines.js';
import type { Cleanup } from './postgres.js';

/**
 * Returns a function that empties the data of a test file for the next test. It is cheaper than `freshData`: the
 * Postgres database is created once per file, because its creation takes seconds on a slow disk. The tests must be
 * serial. On Citus every test gets a database of its own, because the extension belongs to the schema that is emptied.
 */
export function emptiedData(test: TestFn): (t: Cleanup, engine: Engine) => Promise<DataSource> {
  const ends: (() => void | Promise<void>)[] = [];
  let created: Promise<DataSource> | undefined;
  test.after.always(async () => {
    for (const end of ends.reverse()) await end();
  });
  return async (t, engine) => {
    if (engine === 'sqlite' || (await isCitus())) return freshData(t, engine);
    created ??= freshData({ teardown: (end) => ends.push(end) }, engine);
    const data = await created;
    await administer(data.url, 'DROP SCHEMA IF EXISTS guard CASCADE');
    await administer(data.url, 'DROP SCHEMA public CASCADE');
    await administer(data.url, 'CREATE SCHEMA public');
    return dataAt(t, engine, data.url);
  };
}
