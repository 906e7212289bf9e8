import type { DatabaseEngine } from '../../database/engine.js';
import { DatabaseHandle } from '../../database/handle.js';
import { migrate } from '../../database/migrate.js';
import type { OpenStore } from '../open-store.js';
import { SqlStore, type StoreStatements } from './sql-store.js';

/** Migrates the guard's own tables, then puts the store and the handle over the engine. */
export async function openSqlStore(
  engine: DatabaseEngine,
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
  const database = new DatabaseHandle(engine);
  const store = new SqlStore(engine, database, statements);
  return { store, database, ping: () => store.ping(), close };
}
