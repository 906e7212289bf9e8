import type { Dialect } from '../../database/database.js';
import { keyTable } from '../sql/keys.js';
import type { MaintenanceSql, RecordTable } from '../sql/maintenance.js';
import { addressingSchema } from './addressing.js';
import { producersSchema } from './producers.js';

/**
 * The migration steps of the guard's tables on Postgres. The widest columns come first, so that alignment wastes no
 * bytes. The null bitmap of eight columns needs no additional space. The expiry index stores seconds, because equal
 * entries share their space. The last steps change the primary key.
 */
export const schema = [
  `CREATE TABLE replay_guard_records (
    scope BIGINT NOT NULL,
    fence BIGINT,
    lease_until BIGINT,
    expires_at BIGINT NOT NULL,
    id UUID NOT NULL PRIMARY KEY,
    state SMALLINT NOT NULL,
    fingerprint BYTEA NOT NULL,
    reply BYTEA
  )`,
  'CREATE INDEX replay_guard_records_expiry ON replay_guard_records ((expires_at / 1000))',
  'CREATE INDEX replay_guard_records_scope ON replay_guard_records (scope)',
  ...producersSchema,
  ...addressingSchema,
];

/** Returns the maintenance SQL for the table of keys. The condition on seconds uses the expiry index. */
export function keys({ retentionNow }: Dialect): RecordTable {
  const expired = `expires_at / 1000 <= ${retentionNow} / 1000 AND expires_at <= ${retentionNow}`;
  return keyTable({ expired, expiryOrder: 'expires_at / 1000' });
}

/**
 * A record is referred to by its address, as a JSON array. The estimate is the row count in the statistics of Postgres,
 * which needs no scan.
 */
export const maintenanceSql: MaintenanceSql = {
  ref: `'[' || scope || ',"' || id || '"]'`,
  isRefIn: (list) => `(scope, id) IN (
      SELECT CAST(address ->> 0 AS BIGINT), CAST(address ->> 1 AS UUID)
      FROM json_array_elements(CAST('[' || ${list} || ']' AS JSON)) AS address)`,
  hasRowLocks: true,
  estimate: (table) => `
    SELECT coalesce(max(n_live_tup), 0) AS records
    FROM pg_stat_user_tables WHERE relid = '${table}'::regclass`,
};
