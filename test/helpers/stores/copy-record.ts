import type { Database } from 'grpc-replay-guard/database';
import type { Engine } from '../databases/engines.js';

const uniqueId: Record<Engine, string> = {
  sqlite: 'randomblob(16)',
  postgres: 'gen_random_uuid()',
};

/**
 * Inserts `count` copies of the only record in the database.
 * @param expiresAtMs the expiry of the copies. Default: the expiry of the record.
 */
export async function copyRecord(
  database: Database,
  engine: Engine,
  count: number,
  expiresAtMs?: number,
): Promise<void> {
  const same = 'scope, fingerprint, state, fence, lease_until, reply';
  await database.query(
    `WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < CAST($1 AS INTEGER)),
       first AS (SELECT * FROM replay_guard_records LIMIT 1)
     INSERT INTO replay_guard_records (id, expires_at, ${same})
     SELECT ${uniqueId[engine]}, coalesce(CAST($2 AS BIGINT), expires_at), ${same} FROM numbers CROSS JOIN first`,
    [count, expiresAtMs ?? null],
  );
}
