import type { MaintenanceStatements } from '../sql/maintenance.js';
import { seriesSchema } from './producers.js';

/** The steps that bring a SQLite database up to date. Rows stay small in the index: the id and its rowid. */
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
  ...seriesSchema,
];

/** The span of rowids: records are made and purged in about the same order. */
export const maintenance = (now: string): MaintenanceStatements => ({
  purge: `
    DELETE FROM replay_guard_records WHERE rowid IN
      (SELECT rowid FROM replay_guard_records WHERE expires_at <= ${now} ORDER BY expires_at LIMIT $1)
    RETURNING state`,
  estimate: `
    SELECT coalesce((SELECT max(rowid) FROM replay_guard_records)
      - (SELECT min(rowid) FROM replay_guard_records) + 1, 0) AS records`,
  countLive: `
    SELECT count(*) AS records FROM
      (SELECT 1 FROM replay_guard_records WHERE scope = $1 AND expires_at > ${now} LIMIT $2) AS live`,
  erase: `
    UPDATE replay_guard_records SET state = 2, scope = 0, fingerprint = $3, reply = NULL
    WHERE rowid IN (SELECT rowid FROM replay_guard_records WHERE scope = $1 AND state = 1 LIMIT $2)
    RETURNING state`,
});
