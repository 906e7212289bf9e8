import { setTimeout as delay } from 'node:timers/promises';
import { type Database, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { type OpenStore, openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { ConfigError } from '../config/config.js';
import type { DatabaseLocation } from '../config/settings.js';

/** The handle that the services use. */
export type { Database } from 'grpc-replay-guard/database';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

export interface OpeningOptions {
  /** Brings the tables up to date. */
  readonly migrate: (database: Database) => Promise<void>;
  /** Gives the wait for a database that is out of reach up. */
  readonly signal: AbortSignal;
  /** Told of every attempt that failed; the next is after so many milliseconds. */
  readonly onUnavailable: (error: Error, retryInMs: number) => void;
}

/**
 * Opens the database and brings its tables up to date. One that is out of reach is tried again until it
 * answers, because a server that starts before its database should not need a second start.
 * @throws ConfigError the database answers, but not to what DATABASE_URL says
 */
export async function openDatabase(location: DatabaseLocation, options: OpeningOptions): Promise<OpenStore> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return await openMigrated(location, options);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError)) throw error;
      options.onUnavailable(error, pauseMs);
    }
    await delay(pauseMs, undefined, { signal: options.signal });
  }
}

async function openMigrated(location: DatabaseLocation, { migrate }: OpeningOptions): Promise<OpenStore> {
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
      : openPostgres({ connectionString: location.connectionString }));
  } catch (error) {
    const refusal = error instanceof DatabaseUnavailableError ? refusalIn(error.cause) : (error as Error);
    throw refusal ? new ConfigError('DATABASE_URL', refusal.message) : error;
  }
}

/** Postgres' answer where it is there but knows no such user, password or database. */
function refusalIn(cause: unknown): Error | undefined {
  const refused = cause instanceof Error && 'code' in cause && /^(28|3D)...$/.test(String(cause.code));
  return refused ? cause : undefined;
}
