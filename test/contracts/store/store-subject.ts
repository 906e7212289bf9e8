import type { ExecutionContext, TestFn } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { administerNodes } from '../../helpers/databases/citus.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines, freshData, isPostgresOnly } from '../../helpers/databases/engines.js';

/** A store under test, with access to its data and its clock. The clock stands still until a test advances it. */
export interface StoreSubject {
  readonly store: IdempotencyStore;
  /** The store of another server on the same data. A store in memory is its own `other`. */
  readonly other: IdempotencyStore;
  /** The database handle of `store`. Absent for a store in memory. */
  readonly database?: Database;
  /** Returns the time of the store's clock, in milliseconds since the epoch. */
  now(): number;
  /** Advances the store's clock. */
  advance(ms: number): Promise<void>;
}

export type StoreName = 'memory' | 'sqlite' | 'postgres';
export const storeNames: readonly StoreName[] = isPostgresOnly ? engines : ['memory', ...engines];

const serverOptions = { unitLimitMs: 60_000, maxConnections: 10 };

/** Returns a function that creates the subjects of one test file. The tests must be serial. */
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

/**
 * Replaces the clock of Postgres. Returns a function that sets the new clock. Every node of a cluster has a clock of its
 * own.
 */
async function stopTime(url: string): Promise<(ms: number) => Promise<void>> {
  const name = new URL(url).pathname.slice(1);
  for (const sql of [
    'CREATE TABLE set_time (ms DOUBLE PRECISION NOT NULL)',
    'INSERT INTO set_time VALUES (0)',
    `CREATE FUNCTION statement_timestamp() RETURNS TIMESTAMPTZ STABLE LANGUAGE SQL
     AS 'SELECT to_timestamp(ms / 1000) FROM public.set_time'`,
    // Without a search path Postgres finds the function of pg_catalog first.
    `ALTER DATABASE ${name} SET search_path = public, pg_catalog`,
  ]) {
    await administerNodes(url, sql);
  }
  return (ms) => administerNodes(url, `UPDATE set_time SET ms = ${ms}`);
}
