import type { TestFn } from 'ava';
import { type DataSource, dataAt, type Engine, freshData } from './engines.js';
import type { Cleanup } from './postgres.js';

/**
 * One Postgres database for all tests of a file, which may run at the same time, with keys of their own: making
 * one for each takes longer than the tests. SQLite has but one writer, so there every test has its own file.
 */
export function sharedData(test: TestFn): (t: Cleanup, engine: Engine) => Promise<DataSource> {
  const ends: (() => void | Promise<void>)[] = [];
  let made: Promise<DataSource> | undefined;
  test.after.always(async () => {
    for (const end of ends.reverse()) await end();
  });
  return async (t, engine) => {
    if (engine === 'sqlite') return freshData(t, engine);
    made ??= freshData({ teardown: (end) => ends.push(end) }, engine);
    return dataAt(t, engine, (await made).url);
  };
}
