import pg, { type Pool, type PoolConfig } from 'pg';
import { PostgresEngine } from './engine.js';

const DEFAULT_STATEMENT_TIMEOUT_MS = 10_000;
/** How long a database that never answers may be late after the statement time-out, in milliseconds. */
const ANSWER_DELAY_MS = 5_000;

/** The options of `openPostgres`. One of `connectionString` and `pool` is required. */
export interface PostgresOptions {
  /** The address of the database, `postgres://...`. */
  readonly connectionString?: string;
  /**
   * A pool of the application, with JavaScript clients of `pg` 8.23 or later. Clients of `pg-native` are not supported.
   * The pool should have `pipeline: true`, `statement_timeout`, `lock_timeout`, `idle_in_transaction_session_timeout`,
   * `query_timeout` and an `error` listener. The pool stays open when the store closes. Set `lock_timeout` as an option of the
   * pool, the role or the database: a unit of work resets a value that a `SET` on the connection has made.
   */
  readonly pool?: Pool;
  /** The maximum number of connections in the pool. Not used with `pool`. Default: 20. */
  readonly maxConnections?: number;
  /** How long a unit of work may stay open, in milliseconds. Default: 30,000. */
  readonly unitLimitMs?: number;
  /**
   * How long a statement waits for a row that another transaction has locked, in milliseconds. Not used with `pool`.
   * Default: 2,000.
   */
  readonly lockTimeoutMs?: number;
  /** How long a statement may run, in milliseconds. Not used with `pool`. Default: 10,000. */
  readonly statementTimeoutMs?: number;
}

/**
 * Opens a Postgres database. The first query opens the first connection. `close` ends the pool, unless the pool
 * belongs to the application.
 * @throws TypeError when `connectionString` and `pool` are both missing
 */
export function openPostgresEngine(options: PostgresOptions): {
  engine: PostgresEngine;
  close: () => Promise<void>;
} {
  const { unitLimitMs = 30_000 } = options;
  const pool = options.pool ?? createPool(options, unitLimitMs);
  const close = async () => {
    if (!options.pool) await pool.end();
  };
  const { statementTimeoutMs = DEFAULT_STATEMENT_TIMEOUT_MS } = options;
  // The pool of the application limits its queries itself.
  const answerLimitMs = options.pool ? undefined : statementTimeoutMs + ANSWER_DELAY_MS;
  return { engine: new PostgresEngine(pool, unitLimitMs, answerLimitMs), close };
}

function createPool(options: PostgresOptions, unitLimitMs: number): Pool {
  if (!options.connectionString) throw new TypeError('openPostgres needs a `connectionString` or a `pool`');
  const { statementTimeoutMs = DEFAULT_STATEMENT_TIMEOUT_MS } = options;
  const config: PoolConfig & { pipeline: boolean } = {
    connectionString: options.connectionString,
    pipeline: true,
    max: options.maxConnections ?? 20,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    statement_timeout: statementTimeoutMs,
    lock_timeout: options.lockTimeoutMs ?? 2_000,
    // If a server loses its network, the database itself ends the open transaction of that server.
    idle_in_transaction_session_timeout: unitLimitMs + 5_000,
  };
  const pool = new pg.Pool(config);
  // The pool replaces an idle connection that breaks. Without a listener the error would end the process.
  pool.on('error', () => {});
  return pool;
}
