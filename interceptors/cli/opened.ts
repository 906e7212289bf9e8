import { existsSync } from 'node:fs';
import type { Row, SqlValue } from '../database/database.js';
import type { DatabaseEngine } from '../database/engine.js';
import { type Asked, UsageError } from './arguments.js';

/** A database that a command has opened. */
export interface OpenedDatabase {
  readonly engine: DatabaseEngine;
  query(text: string, params?: readonly SqlValue[]): Promise<Row[]>;
  close(): Promise<void>;
}

/**
 * Opens the database of a command. The driver of the other engine need not be installed. Only `migrate` creates a
 * missing SQLite file.
 * @throws UsageError when a SQLite file is missing
 */
export async function openDatabase(asked: Asked): Promise<OpenedDatabase> {
  const { engine, close } = await openEngine(asked);
  const query = async (text: string, params: readonly SqlValue[] = []) => engine.run({ text, params });
  return { engine, query, close };
}

async function openEngine({ url = '', ...asked }: Asked): Promise<{
  engine: DatabaseEngine;
  close: () => Promise<void>;
}> {
  if (asked.engine === 'sqlite') {
    const path = url.slice('sqlite:'.length);
    if (asked.command !== 'migrate' && !existsSync(path)) throw new UsageError(`there is no file ${path}`);
    const { openSqliteEngine } = await import('../database/sqlite/open.js');
    return openSqliteEngine({ path });
  }
  const { openPostgresEngine } = await import('../database/postgres/open.js');
  const opened = openPostgresEngine({
    connectionString: url,
    maxConnections: 2,
    ...(asked.schema !== undefined && { schema: asked.schema }),
    ...(asked.isPooled && { pooler: 'transaction' as const }),
  });
  try {
    await opened.engine.checkSessions();
    await opened.engine.locateTables();
  } catch (error) {
    await opened.close();
    throw error;
  }
  return opened;
}
