import type { Dialect } from '../../database/database.js';
import type { RecordTable } from '../sql/maintenance.js';
import { producerTable } from '../sql/producers.js';

/**
 * The first migration steps of the table of series. The columns are the same as on Postgres, so that both engines share
 * statements. `addressing.ts` contains the later steps.
 */
export const producersSchema = [
  `CREATE TABLE replay_guard_producers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    fingerprint BLOB NOT NULL,
    scope INTEGER NOT NULL,
    state INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    expires_minute INTEGER NOT NULL,
    replies BLOB NOT NULL
  )`,
  'CREATE INDEX replay_guard_producers_expiry ON replay_guard_producers (expires_minute)',
  'CREATE INDEX replay_guard_producers_scope ON replay_guard_producers (scope)',
];

/** Returns the maintenance SQL for the table of series. */
export function producers(dialect: Dialect): RecordTable {
  return producerTable(dialect, "x''");
}
