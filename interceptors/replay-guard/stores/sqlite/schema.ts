import type { MaintenanceStatements } from '../sql/sql-store.js';

/** The steps that bring a SQLite database up to date. Rows stay small in the index: the id and its rowid. */
export const schema = [
  `CREATE TABLE replay_guard_records (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    scope TEXT NOT NULL,
    method TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    state INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    expires_at INTEGER NOT NULL,
    reply BLOB
  )`,
  'CREATE INDEX replay_guard_records_expiry ON replay_guard_records (expires_at)',
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
});
