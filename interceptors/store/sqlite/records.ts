import type { Dialect } from '../../database/database.js';
import { keyTable } from '../sql/keys.js';
import type { MaintenanceSql, RecordTable } from '../sql/maintenance.js';
import { addressingSchema } from './addressing.js';
import { producersSchema } from './producers.js';

/** The migration steps of the guard's tables on SQLite. The last steps replace the tables of version 0.1. */
export const schema = [
  `CREATE TABLE replay_guard_records (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    fingerprint BLOB NOT NULL,
    scope INTEGER NOT NULL,
    state INTEGER NOT NULL,
    fence INTEGER,
    lease_until INTEGER,
    expires_at INTEGER NOT NULL,
    reply BLOB
  )`,
  'CREATE INDEX replay_guard_records_expiry ON replay_guard_records (expires_at)',
  'CREATE INDEX replay_guard_records_scope ON replay_guard_records (scope)',
  ...producersSchema,
  ...addressingSchema,
];

/**
 * SQL for the record at the address `$1`, `$2`, in the condition of an outer join. The plus signs have no effect on the
 * values. Without them, SQLite 3.54 compiles the statement again for each value, which takes five times as long as the
 * statement itself.
 */
export const joinedAtAddress = 'scope = +$1 AND id = +$2';

/** Returns the maintenance SQL for the table of keys. */
export function keys({ retentionNow }: Dialect): RecordTable {
  return keyTable({ expired: `expires_at <= ${retentionNow}`, expiryOrder: 'expires_at' });
}

/**
 * A record is referred to by its rowid. SQLite may give the rowid to another record after a VACUUM. The statements
 * repeat their condition, so that such a record is not changed. A purge by rowids takes about half of the time of a
 * purge by addresses. The estimate is the range of rowids. The range is close to the number of records, because records
 * are inserted and purged in about the same order.
 */
export const maintenanceSql: MaintenanceSql = {
  ref: 'rowid',
  isRefIn: (list) => `rowid IN (SELECT value FROM json_each('[' || ${list} || ']'))`,
  hasRowLocks: false,
  estimate: (table) => `
    SELECT coalesce((SELECT max(rowid) FROM ${table}) - (SELECT min(rowid) FROM ${table}) + 1, 0) AS records`,
};
