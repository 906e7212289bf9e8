import type { MaintenanceStatements } from '../sql/maintenance.js';
import { seriesSchema } from './producers.js';

/**
 * The steps that bring a Postgres database up to date. Eight columns, the wide ones first: a row with an
 * empty one needs no more room than a full one, and none is lost to alignment. By the second of their expiry
 * index entries are alike, so that they share their room too.
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
  ...seriesSchema,
];

/**
 * The estimate is the statistics' count: close enough for a gauge, and no scan. Batches are arrays, so that
 * their subquery runs once and locks no more rows than it may.
 */
export const maintenance = (now: string): MaintenanceStatements => ({
  purge: `
    DELETE FROM replay_guard_records WHERE id = ANY (ARRAY
      (SELECT id FROM replay_guard_records
       WHERE expires_at / 1000 <= ${now} / 1000 AND expires_at <= ${now}
       ORDER BY expires_at / 1000 LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING state`,
  estimate: `
    SELECT coalesce(max(n_live_tup), 0) AS records
    FROM pg_stat_user_tables WHERE relid = 'replay_guard_records'::regclass`,
  countLive: `
    SELECT count(*) AS records FROM
      (SELECT 1 FROM replay_guard_records WHERE scope = $1 AND expires_at > ${now} LIMIT $2) AS live`,
  erase: `
    UPDATE replay_guard_records SET state = 2, scope = 0, fingerprint = $3, reply = NULL
    WHERE id = ANY (ARRAY
      (SELECT id FROM replay_guard_records WHERE scope = $1 AND state = 1 LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING state`,
});
