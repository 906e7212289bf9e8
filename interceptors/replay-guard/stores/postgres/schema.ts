import type { MaintenanceStatements } from '../sql/sql-store.js';

/** The steps that bring a Postgres database up to date. */
export const schema = [
  `CREATE TABLE replay_guard_records (
    id BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    scope TEXT NOT NULL,
    method TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    state SMALLINT NOT NULL,
    fence BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    completed_at BIGINT,
    expires_at BIGINT NOT NULL,
    reply BYTEA
  )`,
  'CREATE INDEX replay_guard_records_expiry ON replay_guard_records (expires_at)',
];

/** The statistics' count: close enough for a gauge, and no scan. */
export const maintenance = (now: string): MaintenanceStatements => ({
  purge: `
    DELETE FROM replay_guard_records WHERE id IN
      (SELECT id FROM replay_guard_records WHERE expires_at <= ${now}
       ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING state`,
  estimate: `
    SELECT coalesce(max(n_live_tup), 0) AS records
    FROM pg_stat_user_tables WHERE relid = 'replay_guard_records'::regclass`,
});
