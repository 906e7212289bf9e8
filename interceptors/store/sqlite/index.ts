import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import Sqlite, { type Database as Handle } from 'better-sqlite3';
import { BLOCKING_WAIT_MS, retryWhileLocked } from '../../database/sqlite/busy.js';
import { Connection } from '../../database/sqlite/connection.js';
import { SqliteEngine } from '../../database/sqlite/engine.js';
import { Writer } from '../../database/sqlite/writer.js';
import type { OpenStore } from '../open-store.js';
import { claimText } from '../sql/claim-sql.js';
import { openSqlStore } from '../sql/open.js';
import { seriesStatements } from '../sql/producers.js';
import { seriesText } from '../sql/series-text.js';
import { recordStatements } from '../sql/statements.js';
import { seriesMaintenance } from './producers.js';
import { maintenance, schema } from './records.js';

export type { OpenStore } from '../open-store.js';

export interface SqliteOptions {
  /** The file of the database, made if it is missing; or an open `database` of the application's. */
  readonly path?: string;
  /** Set to WAL, `synchronous = FULL` and a short busy timeout; it stays open when the store closes. */
  readonly database?: Handle;
  /** The most units of work that share one commit. 1 gives every unit its own. Default: 256. */
  readonly groupLimit?: number;
  /** How long a unit of work may hold the writer, in milliseconds. Default: 5,000. */
  readonly unitLimitMs?: number;
  /** How long a statement waits for another process that writes, in milliseconds. Default: 5,000. */
  readonly busyTimeoutMs?: number;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly clock?: () => number;
}

/** No further unit joins a group that has been open for so long. */
const GROUP_MS = 20;

/** Opens a SQLite database as the store of a replay guard and as the services' database. */
export async function openSqlite(options: SqliteOptions): Promise<OpenStore> {
  const handle = options.database ?? openFile(options.path);
  const clock = options.clock ?? Date.now;
  const busyTimeoutMs = options.busyTimeoutMs ?? 5_000;
  const connection = new Connection(handle, clock);
  const writer = new Writer(connection, options.groupLimit ?? 256, GROUP_MS, busyTimeoutMs);
  let reader: Connection | undefined;
  const close = async () => {
    await writer.idle();
    reader?.close();
    if (!options.database) connection.close();
  };
  try {
    await makeDurable(connection, busyTimeoutMs);
    if (!handle.memory) reader = openReader(handle.name, clock);
  } catch (error) {
    await close();
    throw error;
  }
  const engine = new SqliteEngine(connection, writer, reader, options.unitLimitMs ?? 5_000, busyTimeoutMs);
  const { now } = engine;
  const statements = {
    keys: recordStatements(now, claimText(now)),
    series: seriesStatements(now, seriesText(now)),
    maintenance: [maintenance(now), seriesMaintenance(now)],
  };
  return openSqlStore(engine, statements, schema, close);
}

function openFile(path: string | undefined): Handle {
  if (!path) throw new TypeError('openSqlite needs a `path` or a `database`');
  mkdirSync(dirname(path), { recursive: true });
  const handle = new Sqlite(path);
  handle.pragma('foreign_keys = ON');
  return handle;
}

async function makeDurable(connection: Connection, busyTimeoutMs: number): Promise<void> {
  connection.control(`PRAGMA busy_timeout = ${BLOCKING_WAIT_MS}`);
  await retryWhileLocked(busyTimeoutMs, () => connection.control('PRAGMA journal_mode = WAL'));
  connection.control('PRAGMA synchronous = FULL');
}

function openReader(path: string, clock: () => number): Connection {
  return new Connection(new Sqlite(path, { readonly: true, timeout: BLOCKING_WAIT_MS }), clock);
}
