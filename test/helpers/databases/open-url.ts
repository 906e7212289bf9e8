import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';

export interface EngineOptions {
  readonly unitLimitMs?: number;
  /** How long a statement waits for another transaction or process. Default here: 200. */
  readonly lockTimeoutMs?: number;
  /** Postgres only. */
  readonly maxConnections?: number;
  /** SQLite only: on Postgres time is the database's. */
  readonly clock?: () => number;
  /** SQLite only. */
  readonly groupLimit?: number;
}

/** Opens what a `DATABASE_URL` names. */
export function openUrl(url: string, options: EngineOptions = {}): Promise<OpenStore> {
  const { lockTimeoutMs = 200, ...others } = options;
  return url.startsWith('sqlite:')
    ? openSqlite({ path: url.slice('sqlite:'.length), busyTimeoutMs: lockTimeoutMs, ...others })
    : openPostgres({ connectionString: url, lockTimeoutMs, ...others });
}
