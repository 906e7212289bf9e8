import pg, { type Pool, type PoolConfig } from 'pg';
import { PostgresEngine } from '../../database/postgres/engine.js';
import type { OpenStore } from '../open-store.js';
import { openSqlStore } from '../sql/open.js';
import { seriesStatements } from '../sql/producers.js';
import { recordStatements } from '../sql/statements.js';
import { claimOrFind } from './claim.js';
import { claimOrFindSeries, seriesMaintenance } from './producers.js';
import { maintenance, schema } from './records.js';

export type { OpenStore } from '../open-store.js';

export interface PostgresOptions {
  /** `postgres://...`; or a `pool` of the application's. */
  readonly connectionString?: string;
  /**
   * Give it `pipeline: true`, `statement_timeout`, `lock_timeout` and `idle_in_transaction_session_timeout`,
   * and an `error` listener. It stays open when the store closes.
   */
  readonly pool?: Pool;
  /** The most connections of a pool made here. Default: 20. */
  readonly maxConnections?: number;
  /** How long a unit of work may stay open, in milliseconds. Default: 30,000. */
  readonly unitLimitMs?: number;
  /** How long a statement waits for a row that another transaction holds, in milliseconds. Default: 2,000. */
  readonly lockTimeoutMs?: number;
  /** How long a statement may run, in milliseconds. Default: 10,000. */
  readonly statementTimeoutMs?: number;
}

/** Opens a Postgres database as the store of a replay guard and as the services' database. */
export async function openPostgres(options: PostgresOptions): Promise<OpenStore> {
  const unitLimitMs = options.unitLimitMs ?? 30_000;
  const pool = options.pool ?? createPool(options, unitLimitMs);
  const engine = new PostgresEngine(pool, unitLimitMs);
  const { now } = engine;
  const statements = {
    keys: recordStatements(now, claimOrFind(now), ' FOR UPDATE'),
    series: seriesStatements(now, claimOrFindSeries(now), ' FOR UPDATE'),
    maintenance: [maintenance(now), seriesMaintenance(now)],
  };
  return openSqlStore(engine, statements, schema, async () => {
    if (!options.pool) await pool.end();
  });
}

function createPool(options: PostgresOptions, unitLimitMs: number): Pool {
  if (!options.connectionString) throw new TypeError('openPostgres needs a `connectionString` or a `pool`');
  const statementTimeoutMs = options.statementTimeoutMs ?? 10_000;
  const config: PoolConfig & { pipeline: boolean } = {
    connectionString: options.connectionString,
    pipeline: true,
    max: options.maxConnections ?? 20,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    statement_timeout: statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs ?? 2_000,
    // A server that is cut off leaves its transaction over there: the database ends it.
    idle_in_transaction_session_timeout: unitLimitMs + 5_000,
    // The last resort against a database that never answers; it ends the connection.
    query_timeout: statementTimeoutMs + 5_000,
  };
  const pool = new pg.Pool(config);
  // An idle connection that breaks is replaced at the next use.
  pool.on('error', () => {});
  return pool;
}
