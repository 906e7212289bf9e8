import { openSqliteEngine, type SqliteOptions } from '../../database/sqlite/open.js';
import { assertKnownOptions } from '../../options/known-options.js';
import type { OpenStore } from '../open-store.js';
import { keyStatements } from '../sql/keys.js';
import { maintenanceStatements } from '../sql/maintenance.js';
import { producerStatements } from '../sql/producers.js';
import { openSqlStore } from '../sql/sql-store.js';
import { fence } from './marks.js';
import { producers } from './producers.js';
import { joinedAtAddress, keys, maintenanceSql, schema } from './records.js';

export type { SqliteOptions } from '../../database/sqlite/open.js';
export type { OpenStore } from '../open-store.js';

/**
 * Opens a SQLite database as the store of a replay guard and as the database of the services.
 * @throws TypeError when an option is unknown, or `path` and `database` are both missing
 * @throws Error when the installed better-sqlite3 needs a newer Node; the message names both versions
 * @throws SchemaError when a migration step is missing and `migrate` is false, or was changed after it had been applied
 * @throws LockTimeoutError when another process holds the file for longer than `busyTimeoutMs`
 */
export async function openSqlite(options: SqliteOptions): Promise<OpenStore> {
  assertKnownOptions<SqliteOptions>('openSqlite', options, {
    path: true,
    database: true,
    groupLimit: true,
    unitLimitMs: true,
    busyTimeoutMs: true,
    migrate: true,
    clock: true,
  });
  const { engine, close } = await openSqliteEngine(options);
  const tables = [keys(engine), producers(engine)];
  const maintenance = tables.map((table) => maintenanceStatements(table, maintenanceSql, engine.now));
  const recordSql = { time: engine.time, retention: engine.retention, forUpdate: '', joinedAtAddress };
  const sql = {
    schema,
    keys: keyStatements(recordSql),
    producers: producerStatements(recordSql),
    maintenance,
    marks: { fence, now: engine.now, tables },
  };
  return openSqlStore(engine, sql, close);
}
