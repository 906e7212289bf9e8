import type { TestFn } from 'ava';
import { type DataSource, dataAt, type Engine, freshData } from './engines.js';
import { administer, type Cleanup } from './postgres.js';

/**
 * Empty data for one test after the other of a file, cheaper than `freshData`: making and dropping a Postgres
 * database takes seconds on a slow disk, so this file's is made once. For serial tests only.
 */
export function emptiedData(test: TestFn): (t: Cleanup, engine: Engine) => Promise<DataSource> {
  const ends: (() => void | Promise<void>)[] = [];
  let made: Promise<DataSource> | undefined;
  test.after.always(async () => {
    for (const end of ends.reverse()) await end();
  });
  return async (t, engine) => {
    if (engine === 'sqlite') return freshData(t, engine);
    made ??= freshData({ teardown: (end) => ends.push(end) }, engine);
    const data = await made;
    await administer(data.url, 'DROP SCHEMA public CASCADE');
    await administer(data.url, 'CREATE SCHEMA public');
    return dataAt(t, engine, data.url);
  };
}
