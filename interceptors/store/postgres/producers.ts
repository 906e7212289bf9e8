import type { MaintenanceStatements } from '../sql/maintenance.js';
import { erasable, erased, seriesText } from '../sql/series-text.js';

/**
 * Claims a place in a series or finds its record, in one statement, as `claimOrFind` does for keys. Where only the
 * sequence before is missing it looks whether somebody has the record locked, or has changed it since: then that one
 * is executed just now, or was.
 */
export const claimOrFindSeries = (now: string) => `
  WITH clock AS (SELECT ${now} AS now),
  found AS (SELECT * FROM replay_guard_producers WHERE id = $1 AND expires_at > ${now}),
  claimed AS (${seriesText(now, ' FOR UPDATE SKIP LOCKED')})
  SELECT claimed.claimed, found.state, found.fingerprint, found.lease_until, found.epoch, found.sequence,
    found.completed, now, coalesce(claimed.fence, found.fence) AS fence,
    coalesce(claimed.expires_at, found.expires_at) AS expires_at,
    coalesce(claimed.replies, found.replies) AS replies,
    CASE WHEN found.epoch = $8 AND ${previousIsMissing} THEN
      CASE WHEN EXISTS (${unchanged}) THEN 0 ELSE 1 END
      ELSE 0 END AS hidden
  FROM clock LEFT JOIN claimed ON TRUE LEFT JOIN found ON claimed.claimed IS NULL`;

const previousIsMissing = `
  CASE WHEN found.state > 0 THEN found.completed = $9 - 2
    ELSE found.sequence = $9 - 1 AND found.lease_until <= now END`;

/** A row that is locked is seen as it is by then, not as of when the statement began. */
const unchanged = `
  SELECT 1 FROM replay_guard_producers AS held
  WHERE id = $1 AND held.fence = found.fence AND held.state = found.state AND held.lease_until = found.lease_until
  FOR UPDATE SKIP LOCKED`;

/**
 * The window is rewritten with every call: half of each page is left free for it, and no index is on a column that
 * changes more than once a minute, so that old versions are cleared away in passing and the table does not grow. A
 * window of more than about 2 KB is kept beside the table, where only vacuum makes room.
 */
export const seriesSchema = [
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

export const seriesMaintenance = (now: string): MaintenanceStatements => ({
  purge: `
    DELETE FROM replay_guard_producers WHERE id = ANY (ARRAY
      (SELECT id FROM replay_guard_producers
       WHERE expires_minute <= ${now} / 60000 AND expires_at <= ${now}
       ORDER BY expires_minute LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING state`,
  estimate: `
    SELECT coalesce(max(n_live_tup), 0) AS records
    FROM pg_stat_user_tables WHERE relid = 'replay_guard_producers'::regclass`,
  countLive: `
    SELECT count(*) AS records FROM
      (SELECT 1 FROM replay_guard_producers WHERE scope = $1 AND expires_at > ${now} LIMIT $2) AS live`,
  erase: `
    UPDATE replay_guard_producers SET ${erased}, replies = ''
    WHERE id = ANY (ARRAY
      (SELECT id FROM replay_guard_producers WHERE scope = $1 AND ${erasable(now)} LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING state`,
});
