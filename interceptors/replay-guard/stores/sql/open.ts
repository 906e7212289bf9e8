import type { OpenStore } from '../open-store.js';
import type { SqlEngine } from './engine.js';
import { migrate } from './migrate.js';
import { SqlDatabase } from './sql-database.js';
import { SqlStore, type StoreStatements } from './sql-store.js';

/** Migrates the guard's own tables, then puts the store and the handle over the engine. */
export async function openSqlStore(
  engine: SqlEngine,
  statements: StoreStatements,
  schema: readonly string[],
  close: () => Promise<void>,
): Promise<OpenStore> {
  try {
    await migrate(engine, 'grpc-replay-guard', schema);
  } catch (error) {
    await close();
    throw error;
  }
  const database = new SqlDatabase(engine);
  const store = new SqlStore(engine, database, statements);
  return { store, database, ping: () => store.ping(), close };
}
