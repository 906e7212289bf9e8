import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';

/** How long one bulk statement may take, in milliseconds. */
const BULK_MS = 600_000;

/** Opens the store that a URL names, with time limits for bulk statements. */
export function openFilled(databaseUrl: string): Promise<OpenStore> {
  return databaseUrl.startsWith('sqlite:')
    ? openSqlite({ path: databaseUrl.slice('sqlite:'.length), unitLimitMs: BULK_MS })
    : openPostgres({ connectionString: databaseUrl, unitLimitMs: BULK_MS, statementTimeoutMs: BULK_MS });
}
