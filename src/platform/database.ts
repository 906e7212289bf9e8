import { setTimeout as delay } from 'node:timers/promises';
import {
  type Database,
  DatabaseReadOnlyError,
  DatabaseUnavailableError,
  PoolerError,
} from 'grpc-replay-guard/database';
import { type OpenStore, openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { backoffMs } from 'grpc-replay-guard/timing';
import { ConfigError } from '../config/config.js';
import type { DatabaseLocation } from '../config/database-settings.js';

/** The database handle that the services use. */
export type { Database } from 'grpc-replay-guard/database';

const RETRY_BACKOFF = { initialMs: 250, maxMs: 5_000 };

/** The options of `openDatabase`. */
export interface OpenDatabaseOptions {
  /** Brings the tables up to date. */
  readonly migrate: (database: Database) => Promise<void>;
  /** Ends the wait for a database that is unavailable. */
  readonly signal: AbortSignal;
  /** Receives the error of each failed attempt. The next attempt starts after `retryInMs` milliseconds. */
  readonly onUnavailable: (error: Error, retryInMs: number) => void;
}

/**
 * Opens the database and brings its tables up to date. Retries until the database is available, so that the
 * server may start before its database.
 * @throws ConfigError when DATABASE_URL names no usable database, a file that is read-only or damaged, or the server refuses
 *   its user or password, and when DATABASE_POOLER must be set
 */
export async function openDatabase(
  location: DatabaseLocation,
  options: OpenDatabaseOptions,
): Promise<OpenStore> {
  for (let failures = 0; ; failures++) {
    const retryInMs = backoffMs(RETRY_BACKOFF, failures);
    try {
      return await openMigrated(location, options);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError)) throw error;
      options.onUnavailable(error, retryInMs);
    }
    await delay(retryInMs, undefined, { signal: options.signal });
  }
}

async function openMigrated(
  location: DatabaseLocation,
  { migrate }: OpenDatabaseOptions,
): Promise<OpenStore> {
  const open = await openAt(location);
  try {
    await migrate(open.database);
    return open;
  } catch (error) {
    await open.close();
    throw error;
  }
}

async function openAt(location: DatabaseLocation): Promise<OpenStore> {
  try {
    return await (location.engine === 'sqlite'
      ? openSqlite({ path: location.path })
      : openPostgres({
          connectionString: location.connectionString,
          ...(location.pooler && { pooler: location.pooler }),
        }));
  } catch (error) {
    if (location.engine === 'sqlite' && !mayRecover(error)) {
      const { message } = error as Error;
      throw new ConfigError('DATABASE_URL', `the file ${location.path} cannot be used: ${message}`);
    }
    if (error instanceof PoolerError) {
      const { message } = error.cause instanceof Error ? error.cause : error;
      throw new ConfigError('DATABASE_POOLER', `must be transaction: ${message}`);
    }
    const refusal = error instanceof DatabaseUnavailableError ? refusalIn(error.cause) : (error as Error);
    throw refusal ? new ConfigError('DATABASE_URL', refusal.message) : error;
  }
}

/**
 * Whether a SQLite file may become usable without a new start: another process holds it, or its disk is full. A file or
 * folder without the right to write, and a damaged file, need an operator.
 */
function mayRecover(error: unknown): boolean {
  if (!(error instanceof DatabaseUnavailableError) || error instanceof DatabaseReadOnlyError) return false;
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return !/^SQLITE_(CANTOPEN|CORRUPT|NOTADB|PERM)/.test(code);
}

/** Returns the cause if Postgres is available but refuses the user, the password or the database name. */
function refusalIn(cause: unknown): Error | undefined {
  const refused = cause instanceof Error && 'code' in cause && /^(28|3D)...$/.test(String(cause.code));
  return refused ? cause : undefined;
}
