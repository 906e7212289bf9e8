import { openPostgresEngine, type PostgresOptions } from '../../database/postgres/open.js';
import { waitsForStandby } from '../../database/postgres/standby-sql.js';
import { assertKnownOptions } from '../../options/known-options.js';
import type { OpenStore } from '../open-store.js';
import { atAddress } from '../sql/address.js';
import { keyStatements } from '../sql/keys.js';
import { maintenanceStatements } from '../sql/maintenance.js';
import { producerStatements } from '../sql/producers.js';
import { openSqlStore } from '../sql/sql-store.js';
import { fence } from './marks.js';
import { producers } from './producers.js';
import { keys, maintenanceSql, schema } from './records.js';

export type { PostgresOptions } from '../../database/postgres/open.js';
export { type Hosts, readHosts } from '../../database/postgres/servers/hosts.js';
export type { OpenStore } from '../open-store.js';

/**
 * Opens a Postgres database as the store of a replay guard and as the database of the services.
 * @throws TypeError when an option is unknown, or `connectionString` and `pool` are both missing
 * @throws PoolerError when the database is behind a pooler that gives each transaction another session, and the option
 *   `pooler` is not set
 * @throws SchemaError when a migration step is missing and may not be applied, or was changed after it had been applied
 * @throws DatabaseUnavailableError when the database cannot be reached
 */
export async function openPostgres(options: PostgresOptions): Promise<OpenStore> {
  assertKnownOptions<PostgresOptions>('openPostgres', options, {
    connectionString: true,
    pool: true,
    pooler: true,
    schema: true,
    migrate: true,
    maxConnections: true,
    unitLimitMs: true,
    lockTimeoutMs: true,
    statementTimeoutMs: true,
  });
  const { engine, close } = openPostgresEngine(options);
  const tables = [keys(engine), producers(engine)];
  const maintenance = tables.map((table) => maintenanceStatements(table, maintenanceSql, engine.now));
  const recordSql = {
    time: engine.time,
    retention: engine.retention,
    forUpdate: ' FOR UPDATE',
    joinedAtAddress: atAddress,
    waitsForStandby,
  };
  const sql = {
    schema,
    keys: keyStatements(recordSql),
    producers: producerStatements(recordSql),
    maintenance,
    marks: { fence, now: engine.now, tables },
  };
  try {
    await engine.checkSessions();
  } catch (error) {
    await close();
    throw error;
  }
  return openSqlStore(engine, sql, close);
}
