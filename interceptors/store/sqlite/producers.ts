import type { MaintenanceStatements } from '../sql/maintenance.js';
import { erasable, erased } from '../sql/series-text.js';

/** As on Postgres, so that the same statements run on both. */
export const seriesSchema = [
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

export const seriesMaintenance = (now: string): MaintenanceStatements => ({
  purge: `
    DELETE FROM replay_guard_producers WHERE rowid IN
      (SELECT rowid FROM replay_guard_producers
       WHERE expires_minute <= ${now} / 60000 AND expires_at <= ${now} ORDER BY expires_minute LIMIT $1)
    RETURNING state`,
  estimate: `
    SELECT coalesce((SELECT max(rowid) FROM replay_guard_producers)
      - (SELECT min(rowid) FROM replay_guard_producers) + 1, 0) AS records`,
  countLive: `
    SELECT count(*) AS records FROM
      (SELECT 1 FROM replay_guard_producers WHERE scope = $1 AND expires_at > ${now} LIMIT $2) AS live`,
  erase: `
    UPDATE replay_guard_producers SET ${erased}, replies = x''
    WHERE rowid IN (SELECT rowid FROM replay_guard_producers WHERE scope = $1 AND ${erasable(now)} LIMIT $2)
    RETURNING state`,
});
