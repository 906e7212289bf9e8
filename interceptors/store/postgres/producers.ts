import type { RecordTable } from '../sql/maintenance.js';
import { claimSequenceSql, producerTable } from '../sql/producers.js';

/**
 * The migration steps of the table of series on Postgres. Every call rewrites the window. Half of each page is
 * reserved for new row versions. No indexed column changes more than once a minute. Postgres therefore removes old
 * versions within the page, and the table does not grow. A window of more than about 2 KB is stored outside the page,
 * where only vacuum removes old versions.
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

/**
 * The statement that claims a position or finds the record of the series, as `claimOrFindKeySql` does for keys. If
 * only the previous sequence is missing, the statement checks whether the record is locked or has changed after the
 * statement began. If so, the previous sequence is executing or has just ended, and the column `hidden` is 1.
 */
export const claimOrFindSequenceSql = (now: string) => `
  WITH clock AS (SELECT ${now} AS now),
  found AS (SELECT * FROM replay_guard_producers WHERE id = $1 AND expires_at > ${now}),
  claimed AS (${claimSequenceSql(now, ' FOR UPDATE SKIP LOCKED')})
  SELECT claimed.claimed, found.state, found.fingerprint, found.lease_until, found.epoch, found.sequence,
    found.completed, now, coalesce(claimed.fence, found.fence) AS fence,
    coalesce(claimed.expires_at, found.expires_at) AS expires_at,
    coalesce(claimed.replies, found.replies) AS replies,
    CASE WHEN found.epoch = $8 AND ${isPreviousMissing} THEN
      CASE WHEN EXISTS (${unchanged}) THEN 0 ELSE 1 END
      ELSE 0 END AS hidden
  FROM clock LEFT JOIN claimed ON TRUE LEFT JOIN found ON claimed.claimed IS NULL`;

/** SQL for whether only the previous sequence is missing. */
const isPreviousMissing = `
  CASE WHEN found.state > 0 THEN found.completed = $9 - 2
    ELSE found.sequence = $9 - 1 AND found.lease_until <= now END`;

/**
 * SQL that selects a row if the record is unlocked and unchanged. FOR UPDATE reads the current version of the row,
 * not the version at the start of the statement.
 */
const unchanged = `
  SELECT 1 FROM replay_guard_producers AS held
  WHERE id = $1 AND held.fence = found.fence AND held.state = found.state AND held.lease_until = found.lease_until
  FOR UPDATE SKIP LOCKED`;

/** Returns the maintenance SQL for the table of series. */
export function producers(now: string): RecordTable {
  return producerTable(now, "''");
}
