import { openPostgres } from 'grpc-replay-guard/postgres';
import type { OpenStore } from 'grpc-replay-guard/store';
import pg, { type PoolConfig } from 'pg';
import type { EngineOptions } from '../../helpers/databases/open-url.js';

/** Opens a Postgres database through a pool of the application that sends DISCARD ALL before some uses of a connection. */
export function openDiscarding(url: string, options: EngineOptions): Promise<OpenStore> {
  const { maxConnections, lockTimeoutMs = 1_000, unitLimitMs = 4_000 } = options;
  const config: PoolConfig & { pipeline: boolean } = {
    ...{ connectionString: url, pipeline: true, lock_timeout: lockTimeoutMs },
    ...(maxConnections !== undefined && { max: maxConnections }),
    ...{ connectionTimeoutMillis: 5_000, statement_timeout: 10_000, query_timeout: 15_000 },
    idle_in_transaction_session_timeout: unitLimitMs + 5_000,
  };
  const pool = new pg.Pool(config).on('error', () => {});
  // The pool sends nothing between this statement and the first statement of the next user.
  pool.on('acquire', (client) => {
    if (Math.random() < 0.05) client.query('DISCARD ALL').catch(() => {});
  });
  return openPostgres({ pool, unitLimitMs });
}
