import type { Dialect } from '../../database/database.js';
import type { RecordTable } from '../sql/maintenance.js';
import { producerTable } from '../sql/producers.js';

/**
 * The first migration steps of the table of series on Postgres. `addressing.ts` contains the later steps. Every call
 * rewrites the window. Half of each page is reserved for new row versions. No indexed column changes more than once a
 * minute. Postgres therefore removes old row versions within the page, and the table does not grow. A window of more
 * than about 2 KB is stored outside the page, where only vacuum removes old row versions.
 */
export const producersSchema = [
  `CREATE TABLE replay_guard_producers (
    scope BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    expires_minute BIGINT NOT NULL,
    id UUID NOT NULL PRIMARY KEY,
    state SMALLINT NOT NULL,
    fingerprint BYTEA NOT NULL,
    replies BYTEA NOT NULL
  ) WITH (fillfactor = 50)`,
  'CREATE INDEX replay_guard_producers_expiry ON replay_guard_producers (expires_minute)',
  'CREATE INDEX replay_guard_producers_scope ON replay_guard_producers (scope)',
];

/** Returns the maintenance SQL for the table of series. */
export function producers(dialect: Dialect): RecordTable {
  return producerTable(dialect, "''");
}
