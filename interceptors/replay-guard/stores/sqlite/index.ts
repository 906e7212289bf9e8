import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import Sqlite, { type Database as Handle } from 'better-sqlite3';
import type { OpenStore } from '../open-store.js';
import { openSqlStore } from '../sql/open.js';
import { recordStatements } from '../sql/records.js';
import { Connection } from './connection.js';
import { SqliteEngine } from './engine.js';
import { maintenance, schema } from './schema.js';
import { Writer } from './writer.js';

export type { OpenStore } from '../open-store.js';

export interface SqliteOptions {
  /** The file of the database, made if it is missing; or an open `database` of the application's. */
  readonly path?: string;
  /** Set to WAL and `synchronous = FULL`; it stays open when the store closes. */
  readonly database?: Handle;
  /** The most units of work that share one commit. 1 gives every unit its own. Default: 256. */
  readonly groupLimit?: number;
  /** How long a unit of work may hold the writer, in milliseconds. Default: 5,000. */
  readonly unitLimitMs?: number;
  /** How long to wait for another process that writes, in milliseconds. Default: 5,000. */
  readonly busyTimeoutMs?: number;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly clock?: () => number;
}

/** No further unit joins a group that has been open for so long. */
const GROUP_MS = 20;

/** Opens a SQLite database as the store of a replay guard and as the services' database. */
export async function openSqlite(options: SqliteOptions): Promise<OpenStore> {
  const handle = options.database ?? openFile(options.path);
  handle.pragma('journal_mode = WAL');
  handle.pragma('synchronous = FULL');
  handle.pragma(`busy_timeout = ${options.busyTimeoutMs ?? 5_000}`);
  const clock = options.clock ?? Date.now;
  const connection = new Connection(handle, clock);
  const writer = new Writer(connection, options.groupLimit ?? 256, GROUP_MS);
  const reader = handle.memory
    ? undefined
    : new Connection(new Sqlite(handle.name, { readonly: true }), clock);
  const engine = new SqliteEngine(connection, writer, reader, options.unitLimitMs ?? 5_000);
  return openSqlStore(engine, recordStatements(engine.now), maintenance(engine.now), schema, async () => {
    await writer.idle();
    reader?.close();
    if (!options.database) connection.close();
  });
}

function openFile(path: string | undefined): Handle {
  if (!path) throw new TypeError('openSqlite needs a `path` or a `database`');
  mkdirSync(dirname(path), { recursive: true });
  const handle = new Sqlite(path);
  handle.pragma('foreign_keys = ON');
  return handle;
}
