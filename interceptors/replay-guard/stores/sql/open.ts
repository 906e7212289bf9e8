import type { OpenStore } from '../open-store.js';
import type { SqlEngine } from './engine.js';
import { migrate } from './migrate.js';
import type { RecordStatements } from './records.js';
import { SqlDatabase } from './sql-database.js';
import { type MaintenanceStatements, SqlStore } from './sql-store.js';

/** Migrates the guard's own table, then puts the store and the handle over the engine. */
export async function openSqlStore(
  engine: SqlEngine,
  records: RecordStatements,
  maintenance: MaintenanceStatements,
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
  const store = new SqlStore(engine, database, records, maintenance);
  return { store, database, ping: () => store.ping(), close };
}
