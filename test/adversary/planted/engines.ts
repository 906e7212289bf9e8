import type { OpenStore } from 'grpc-replay-guard/store';
import type { DatabaseEngine } from '#library/database/engine.js';
import { openPostgresEngine } from '#library/database/postgres/open.js';
import { openSqliteEngine } from '#library/database/sqlite/open.js';
import { fence as postgresFence } from '#library/store/postgres/marks.js';
import * as postgresProducers from '#library/store/postgres/producers.js';
import * as postgres from '#library/store/postgres/records.js';
import { atAddress } from '#library/store/sql/address.js';
import { keyStatements } from '#library/store/sql/keys.js';
import { maintenanceStatements } from '#library/store/sql/maintenance.js';
import { producerStatements } from '#library/store/sql/producers.js';
import { openSqlStore } from '#library/store/sql/sql-store.js';
import { fence as sqliteFence } from '#library/store/sqlite/marks.js';
import * as sqliteProducers from '#library/store/sqlite/producers.js';
import * as sqlite from '#library/store/sqlite/records.js';
import type { EngineOptions } from '../../helpers/databases/open-url.js';

/** Opens the engine of a `DATABASE_URL`, without a store. */
export async function openEngine(url: string, options: EngineOptions) {
  const { lockTimeoutMs = 200, maxConnections, unitLimitMs } = options;
  const common = unitLimitMs === undefined ? {} : { unitLimitMs };
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length);
    return openSqliteEngine({ path, busyTimeoutMs: lockTimeoutMs, ...common });
  }
  const own = maxConnections === undefined ? {} : { maxConnections };
  return openPostgresEngine({ connectionString: url, lockTimeoutMs, ...own, ...common });
}

/** Opens the store and the database handle on an engine, as the package entries do. */
export function openStoreOn(engine: DatabaseEngine, close: () => Promise<void>): Promise<OpenStore> {
  const isPostgres = engine.name === 'postgres';
  const { keys, maintenanceSql, schema } = isPostgres ? postgres : sqlite;
  const { producers } = isPostgres ? postgresProducers : sqliteProducers;
  const sql = {
    ...{ time: engine.time, retention: engine.retention, forUpdate: isPostgres ? ' FOR UPDATE' : '' },
    joinedAtAddress: isPostgres ? atAddress : sqlite.joinedAtAddress,
  };
  const tables = [keys(engine), producers(engine)];
  return openSqlStore(
    engine,
    {
      ...{ schema, keys: keyStatements(sql), producers: producerStatements(sql) },
      maintenance: tables.map((table) => maintenanceStatements(table, maintenanceSql, engine.now)),
      marks: { fence: isPostgres ? postgresFence : sqliteFence, now: engine.now, tables },
    },
    close,
  );
}
