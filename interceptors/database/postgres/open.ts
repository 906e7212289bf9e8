import { Socket } from 'node:net';
import pg, { type Pool, type PoolConfig } from 'pg';
import { outsideOfRequests } from '../../context/copies.js';
import { assertPart } from '../../options/part.js';
import { PostgresEngine } from './engine.js';
import { Failover } from './servers/failover.js';
import type { TransactionLimits } from './session-settings.js';
import type { SchemaLayout } from './tables.js';

const DEFAULT_STATEMENT_TIMEOUT_MS = 10_000;
const DEFAULT_LOCK_TIMEOUT_MS = 2_000;
/** How long a database that never answers may be late after the statement time-out, in milliseconds. */
const ANSWER_DELAY_MS = 5_000;

/** The options of `openPostgres`. One of `connectionString` and `pool` is required. */
export interface PostgresOptions {
  /**
   * The address of the database, `postgres://...`. Several hosts are tried in their order, and the first one that
   * accepts writes is used: `postgres://USER@HOST:PORT,HOST:PORT/DATABASE`. The parameter `target_session_attrs` says
   * what a host must accept: `read-write` (the default for several hosts), `primary`, or `any` (the default for one
   * host).
   */
  readonly connectionString?: string;
  /**
   * A pool of the application, with JavaScript clients of `pg` 8.23 or later. Clients of `pg-native` are not supported.
   * The pool should have `pipeline: true`, `statement_timeout`, `lock_timeout`, `idle_in_transaction_session_timeout`,
   * `query_timeout` and an `error` listener. The pool stays open when the store closes. Set `lock_timeout` as an option
   * of the pool, the role or the database: a unit of work resets a value that a `SET` on the connection has made.
   */
  readonly pool?: Pool;
  /**
   * Set `transaction` if the connections lead through a pooler that gives each transaction another session of Postgres, such
   * as PgBouncer with `pool_mode = transaction`. Then no statement is prepared under a name, no time-out is sent when a
   * connection is opened, and each transaction sets the time-outs of these options. Default: each connection has a session
   * of its own.
   */
  readonly pooler?: 'transaction';
  /**
   * The schema of the tables of the library, at most 63 bytes without quotation marks. A migration creates it if it is
   * missing. Your own tables are not affected. Default: the schema in which the search path of the connection finds them,
   * and its first schema for new tables.
   */
  readonly schema?: string;
  /**
   * Whether missing migration steps are applied. With false, a schema that lacks a step is a `SchemaError`. Default: true. A
   * schema that is current needs no privilege to change it.
   */
  readonly migrate?: boolean;
  /** The maximum number of connections in the pool. Not used with `pool`. Default: 20. */
  readonly maxConnections?: number;
  /** How long a unit of work may stay open, in milliseconds. Default: 30,000. */
  readonly unitLimitMs?: number;
  /**
   * How long a statement waits for a row that another transaction has locked, in milliseconds. With `pool` used only if
   * `pooler` is set. Default: 2,000.
   */
  readonly lockTimeoutMs?: number;
  /** How long a statement may run, in milliseconds. With `pool` used only if `pooler` is set. Default: 10,000. */
  readonly statementTimeoutMs?: number;
}

/**
 * Opens a Postgres database. The first query opens the first connection. `close` ends the pool, unless the pool
 * belongs to the application.
 * @throws TypeError when `connectionString` and `pool` are both missing, one of them is wrong, or `pooler` has
 *   another value
 */
export function openPostgresEngine(options: PostgresOptions): {
  engine: PostgresEngine;
  close: () => Promise<void>;
} {
  const { unitLimitMs = 30_000, pooler } = options;
  if (pooler !== undefined && pooler !== 'transaction') {
    throw new TypeError("the option `pooler` must be 'transaction' or undefined");
  }
  const layout = layoutOf(options);
  const limits: TransactionLimits = {
    statementMs: options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS,
    lockMs: options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS,
    // If a server loses its network, the database itself ends the open transaction of that server.
    idleMs: unitLimitMs + 5_000,
  };
  if (options.pool !== undefined) assertPool(options.pool);
  const failover = options.pool ? undefined : failoverOf(options);
  const pool = options.pool ?? createPool(options, limits, failover);
  const close = async () => {
    if (!options.pool) await pool.end();
  };
  // The pool of the application limits its queries itself.
  const answerLimitMs = options.pool ? undefined : limits.statementMs + ANSWER_DELAY_MS;
  const engine = new PostgresEngine(pool, unitLimitMs, {
    layout,
    answerLimitMs,
    ...(pooler && { shared: limits }),
    ...(failover && { failover }),
  });
  return { engine, close };
}

/** A client has the same methods as a pool. */
function assertPool(pool: Pool): void {
  if (pool instanceof pg.Client) throw new TypeError('openPostgres: pool must be a pg.Pool, not a client');
  assertPart('openPostgres: pool', pool, { methods: ['connect'], expected: 'a pg.Pool' });
}

/** Returns how to choose among the hosts of the connection string. Undefined if there is no choice. */
function failoverOf({ connectionString }: PostgresOptions): Failover | undefined {
  if (!connectionString) throw new TypeError('openPostgres needs a `connectionString` or a `pool`');
  const failover = new Failover(connectionString);
  return failover.isPlain ? undefined : failover;
}

/** Postgres would shorten a longer name. A quotation mark could end the name in a statement. */
function layoutOf({ schema, migrate }: PostgresOptions): SchemaLayout {
  if (schema !== undefined && !(typeof schema === 'string' && isName(schema))) {
    throw new TypeError(
      'the option `schema` must be the name of a schema, at most 63 bytes without quotation marks',
    );
  }
  if (migrate !== undefined && typeof migrate !== 'boolean') {
    throw new TypeError('the option `migrate` must be true or false');
  }
  return { ...(schema !== undefined && { schema }), ...(migrate !== undefined && { migrate }) };
}

function isName(text: string): boolean {
  return /^[^'"\0]+$/.test(text) && Buffer.byteLength(text) <= 63;
}

/** A connection outlives the request that opens it, so the events of its socket must not have the context of the request. */
function createSocket(): Socket {
  const socket = new Socket();
  const connect = socket.connect.bind(socket) as (...args: unknown[]) => Socket;
  return Object.assign(socket, {
    connect: (...args: unknown[]) => outsideOfRequests(() => connect(...args)),
  });
}

function createPool(options: PostgresOptions, limits: TransactionLimits, failover?: Failover): Pool {
  const config: PoolConfig & { pipeline: boolean } = {
    ...(failover ? failover.poolOptions : { connectionString: options.connectionString }),
    pipeline: true,
    max: options.maxConnections ?? 20,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    stream: createSocket,
    ...(!options.pooler && {
      statement_timeout: limits.statementMs,
      lock_timeout: limits.lockMs,
      idle_in_transaction_session_timeout: limits.idleMs,
    }),
  };
  const pool = new pg.Pool(config);
  // The pool replaces an idle connection that breaks. Without a listener the error would end the process.
  pool.on('error', () => {});
  return pool;
}
