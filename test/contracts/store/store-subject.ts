import type { ExecutionContext, TestFn } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { freshData } from '../../helpers/databases/engines.js';
import { administer } from '../../helpers/databases/postgres.js';

/** A store under test, and what a suite must be able to do to it from outside. Its time stands still. */
export interface StoreSubject {
  readonly store: IdempotencyStore;
  /** Another server's store on the same data; the same one where a store belongs to one process. */
  readonly other: IdempotencyStore;
  /** The handle beside `store`; none where the store has no database. */
  readonly database?: Database;
  /** What time the store's clock shows, in milliseconds since the epoch. */
  now(): number;
  /** Lets time pass. */
  advance(ms: number): Promise<void>;
}

export type StoreName = 'memory' | 'sqlite' | 'postgres';
export const storeNames: readonly StoreName[] = ['memory', 'sqlite', 'postgres'];

const serverOptions = { unitLimitMs: 60_000, maxConnections: 10 };

/** Makes the subjects of one test file; for serial tests only. */
export function storeSubjects(test: TestFn): (t: ExecutionContext, name: StoreName) => Promise<StoreSubject> {
  const emptied = emptiedData(test);
  return async (t, name) => {
    let time = Date.now();
    const now = () => time;
    const advance = async (ms: number) => {
      time += ms;
    };
    if (name === 'memory') {
      const store = createMemoryStore({ clock: now });
      return { store, other: store, now, advance };
    }
    if (name === 'sqlite') {
      const data = await freshData(t, name);
      const { store, database } = await data.open({ ...serverOptions, clock: now });
      const { store: other } = await data.open({ ...serverOptions, clock: now });
      return { store, other, database, now, advance };
    }
    const data = await emptied(t, name);
    const setTime = await stopTime(data.url);
    await setTime(time);
    const { store, database } = await data.open(serverOptions);
    const { store: other } = await data.open(serverOptions);
    const advanceBoth = async (ms: number) => {
      await advance(ms);
      await setTime(time);
    };
    return { store, other, database, now, advance: advanceBoth };
  };
}

/** Puts a clock that is set by hand in the place of the one that Postgres has. */
async function stopTime(url: string): Promise<(ms: number) => Promise<void>> {
  const name = new URL(url).pathname.slice(1);
  for (const sql of [
    'CREATE TABLE set_time (ms DOUBLE PRECISION NOT NULL)',
    'INSERT INTO set_time VALUES (0)',
    `CREATE FUNCTION statement_timestamp() RETURNS TIMESTAMPTZ STABLE LANGUAGE SQL
     AS 'SELECT to_timestamp(ms / 1000) FROM public.set_time'`,
    // What the system has is looked up first unless the path says otherwise.
    `ALTER DATABASE ${name} SET search_path = public, pg_catalog`,
  ]) {
    await administer(url, sql);
  }
  return (ms) => administer(url, `UPDATE set_time SET ms = ${ms}`);
}
