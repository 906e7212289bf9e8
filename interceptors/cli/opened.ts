import { statSync } from 'node:fs';
import type { Row, SqlValue } from '../database/database.js';
import type { DatabaseEngine } from '../database/engine.js';
import { PoolerError } from '../database/errors.js';
import { type Asked, UsageError } from './arguments.js';

/** A database that a command reads. */
export interface ReadDatabase {
  readonly engine: Pick<DatabaseEngine, 'run' | 'versionColumns'>;
  /** SQL for the time of the database, in milliseconds since the epoch. */
  readonly now: string;
  query<R extends object = Row>(text: string, params?: readonly SqlValue[]): Promise<R[]>;
  /** Resolves to whether the connections lead through a pooler. Absent on SQLite. */
  seesPooler?(): Promise<boolean>;
  close(): Promise<void>;
}

/** A database that a command migrates. */
export interface MigratedDatabase extends ReadDatabase {
  readonly engine: DatabaseEngine;
}

/**
 * Opens the database of `migrate`. The driver of the other engine need not be installed. A missing SQLite file is created.
 * @throws UsageError when the path of a SQLite file names a folder
 */
export async function openMigrated(asked: Asked): Promise<MigratedDatabase> {
  if (asked.engine === 'postgres') return openPostgres(asked);
  const path = pathOf(asked);
  const { openSqliteEngine } = await import('../database/sqlite/open.js');
  try {
    const { engine, close } = await openSqliteEngine({ path });
    return { engine, now: engine.now, query: queryOn(engine), close };
  } catch (error) {
    throw unreadable(path, error);
  }
}

/**
 * Opens the database of `plans` and `doctor`, which change nothing.
 * @throws UsageError when there is no SQLite file at the path
 */
export async function openRead(asked: Asked): Promise<ReadDatabase> {
  if (asked.engine === 'postgres') return openPostgres(asked);
  const path = pathOf(asked);
  if (!statSync(path, { throwIfNoEntry: false })) throw new UsageError(`there is no file ${path}`);
  const { openSqliteReading } = await import('../database/sqlite/open.js');
  try {
    const engine = openSqliteReading(path);
    return { engine, now: String(Date.now()), query: queryOn(engine), close: async () => engine.close() };
  } catch (error) {
    throw unreadable(path, error);
  }
}

function queryOn(engine: Pick<DatabaseEngine, 'run'>): ReadDatabase['query'] {
  return async <R extends object>(text: string, params: readonly SqlValue[] = []) =>
    (await engine.run({ text, params })) as R[];
}

/** Returns the path of the SQLite file that the address names. */
export function pathOf({ url = '' }: Pick<Asked, 'url'>): string {
  const path = url.slice('sqlite:'.length);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new UsageError(`${path} is a folder`);
  return path;
}

async function openPostgres({ url = '', schema, isPooled }: Asked): Promise<MigratedDatabase> {
  const { openPostgresEngine } = await import('../database/postgres/open.js');
  const { engine, close } = openPostgresEngine({
    connectionString: url,
    maxConnections: 2,
    ...(schema !== undefined && { schema }),
    ...(isPooled && { pooler: 'transaction' as const }),
  });
  try {
    await engine.checkSessions();
    await engine.locateTables();
  } catch (error) {
    await close();
    if (!(error instanceof PoolerError && error.cause instanceof Error)) throw error;
    throw new Error(`${error.cause.message}; add --pooler`, { cause: error });
  }
  return { engine, now: engine.now, query: queryOn(engine), seesPooler: () => engine.seesPooler(), close };
}

function unreadable(path: string, error: unknown): Error {
  return new Error(`${path}: ${error instanceof Error ? error.message : error}`, { cause: error });
}
