import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';
import { isRestricted, openRestricted } from '../deployments/runtime-role.js';
import { isPooled, isServed, servedUrl } from './postgres.js';

/** The options of a database in tests. Options of the other engine have no effect. */
export interface EngineOptions {
  readonly unitLimitMs?: number;
  /** How long a statement waits for another transaction or process, in milliseconds. Default: 200. */
  readonly lockTimeoutMs?: number;
  /** The maximum number of connections. Postgres only. */
  readonly maxConnections?: number;
  /** The option of `openPostgres`. Default: as the run needs it. Postgres only. */
  readonly pooler?: 'transaction';
  /** Whether missing migration steps are applied. Default: true. */
  readonly migrate?: boolean;
  /** The schema of the tables of the library. Postgres only. */
  readonly schema?: string;
  /** Returns the time in milliseconds since the epoch. SQLite only: Postgres uses its own clock. */
  readonly clock?: () => number;
  /** The maximum number of units of work that share a commit. SQLite only. */
  readonly groupLimit?: number;
}

/** Opens the database that a `DATABASE_URL` names. */
export function openUrl(url: string, options: EngineOptions = {}): Promise<OpenStore> {
  const { lockTimeoutMs = 200, maxConnections, clock, groupLimit, pooler, schema, ...common } = options;
  if (url.startsWith('sqlite:')) {
    const own = { ...(clock && { clock }), ...(groupLimit !== undefined && { groupLimit }) };
    return openSqlite({ path: url.slice('sqlite:'.length), busyTimeoutMs: lockTimeoutMs, ...own, ...common });
  }
  const own = {
    ...(maxConnections !== undefined && { maxConnections }),
    ...(schema !== undefined && { schema }),
    ...((pooler || isPooled()) && { pooler: 'transaction' as const }),
  };
  const postgres = { connectionString: servedUrl(url), lockTimeoutMs, ...own, ...common };
  // A test of roles or migrations has options of its own.
  const isPlain = schema === undefined && common.migrate === undefined;
  return isRestricted && isPlain && isServed(url) ? openRestricted(postgres) : openPostgres(postgres);
}
