import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import Module from 'node:module';
import { dirname, resolve } from 'node:path';
import Sqlite, { type Database as Handle } from 'better-sqlite3';
import { RetentionClock } from '../../timing/retention-clock.js';
import { steadyClock } from '../../timing/steady-clock.js';
import type { Row } from '../database.js';
import type { Statement } from '../engine.js';
import { BLOCKING_WAIT_MS, Connection, type ConnectionClocks, retryWhileLocked } from './connection.js';
import { DatabaseFile } from './database-file.js';
import { SqliteEngine, versionColumns } from './engine.js';
import { RetentionMark } from './retention-mark.js';
import { Writer } from './writer.js';

/** The options of `openSqlite`. One of `path` and `database` is required. */
export interface SqliteOptions {
  /**
   * The file of the database. A missing file is created with mode 0600, its missing folders with mode 0700, under any
   * umask. SQLite gives the files beside it (`-wal`, `-shm`) the same mode. The modes of existing files and folders stay.
   */
  readonly path?: string;
  /**
   * An open database of the application. The store sets WAL, `synchronous = FULL`, `secure_delete = ON` and a short busy
   * timeout. The database stays open when the store closes.
   */
  readonly database?: Handle;
  /** The maximum number of units of work in one commit. With 1, every unit commits alone. Default: 256. */
  readonly groupLimit?: number;
  /** How long a unit of work may hold the writer, in milliseconds. Default: 5,000. */
  readonly unitLimitMs?: number;
  /** How long a statement waits for another process that writes, in milliseconds. Default: 5,000. */
  readonly busyTimeoutMs?: number;
  /**
   * Whether missing migration steps are applied. With false, a schema that lacks a step is a `SchemaError`. Default:
   * true.
   */
  readonly migrate?: boolean;
  /**
   * Returns the time in milliseconds since the epoch. Default: `Date.now`, guarded by a steady clock: see
   * `RetentionClock`. A given clock is not guarded, because it must not be set ahead.
   */
  readonly clock?: () => number;
}

/** How long a commit group accepts further units of work, in milliseconds. */
const GROUP_MS = 20;

/**
 * Opens a SQLite database with one connection for the writer and one for reads. `close` waits for all running and
 * queued units of work.
 * @throws TypeError when `path` and `database` are both missing, or `migrate` is not true or false
 * @throws Error when the installed better-sqlite3 needs a newer Node; the message names both versions
 * @throws LockTimeoutError when another process holds the file for longer than `busyTimeoutMs`
 */
export async function openSqliteEngine(
  options: SqliteOptions,
): Promise<{ engine: SqliteEngine; close: () => Promise<void> }> {
  const { busyTimeoutMs = 5_000, unitLimitMs = 5_000, groupLimit = 256, migrate = true } = options;
  if (typeof migrate !== 'boolean') throw new TypeError('the option `migrate` must be true or false');
  if (!options.database) assertDriverFits();
  const handle = options.database ?? openFile(options.path);
  // A clock of the application may not be set ahead, so it needs no steady clock.
  const retention = options.clock ? undefined : new RetentionClock(Date.now, steadyClock);
  const now = options.clock ?? Date.now;
  const clocks = { now, retention: retention ? () => retention.now() : now };
  const connection = new Connection(handle, clocks);
  let mark: RetentionMark | undefined;
  const file = handle.memory ? undefined : new DatabaseFile(handle.name);
  const limits = { groupLimit, groupMs: GROUP_MS, busyTimeoutMs };
  const writer = new Writer(connection, file, limits, () => mark?.update());
  let reader: Connection | undefined;
  const close = async () => {
    await writer.idle();
    reader?.close();
    if (!options.database) connection.close();
  };
  try {
    await makeDurable(connection, busyTimeoutMs);
    if (retention) mark = await RetentionMark.open(connection, retention, busyTimeoutMs);
    if (!handle.memory) reader = openReader(handle.name, clocks);
  } catch (error) {
    await close();
    throw error;
  }
  const isShared = options.database !== undefined;
  return {
    engine: new SqliteEngine(connection, writer, reader, unitLimitMs, busyTimeoutMs, isShared, migrate),
    close,
  };
}

/**
 * A better-sqlite3 that needs a newer Node can end the process at its first connection, without a message: version 13
 * does so on Node 20. Its package names the versions of Node, but this file cannot import JSON in both of its module
 * forms. So the package is found by the loaded module. A bundle has no such module.
 */
function assertDriverFits(): void {
  const loaded = Object.values(Module.createRequire(process.execPath).cache);
  const file = loaded.find((module) => module?.exports === Sqlite)?.filename;
  const manifest = file && resolve(dirname(file), '../package.json');
  if (!manifest || !existsSync(manifest)) return;
  const problem = driverProblem(JSON.parse(readFileSync(manifest, 'utf8')), process.versions.node);
  if (problem !== undefined) throw new Error(problem);
}

/**
 * Returns why a version of better-sqlite3 cannot be used on a version of Node. Undefined if it can be used. Only a
 * lower bound of its supported versions counts: a list of versions does not know later ones.
 * @param node such as `20.19.0`
 */
export function driverProblem(
  { version, engines }: { readonly version: string; readonly engines?: { readonly node?: string } },
  node: string,
): string | undefined {
  const [, least] = /^>= ?(\d+(?:\.\d+)*)$/.exec(engines?.node ?? '') ?? [];
  if (least === undefined || node.localeCompare(least, 'en', { numeric: true }) >= 0) return undefined;
  return `better-sqlite3 ${version} needs Node ${least} or newer, and this is Node ${node}; install better-sqlite3@12, or use a newer Node`;
}

function openFile(path: string | undefined): Handle {
  if (!path) throw new TypeError('openSqlite needs a `path` or a `database`');
  createPrivately(path.trim());
  const handle = openPath(path);
  handle.pragma('foreign_keys = ON');
  // SQLite keeps what a savepoint changes in a temporary file, which would cost more than the call's own writes.
  handle.pragma('temp_store = MEMORY');
  return handle;
}

/** The error of better-sqlite3 does not say which file it means. */
function openPath(path: string): Handle {
  try {
    return new Sqlite(path);
  } catch (error) {
    if (error instanceof Sqlite.SqliteError) error.message += `: ${path}`;
    throw error;
  }
}

/**
 * Creates a missing file, so that only its owner may read it. SQLite itself would create it with the modes that the umask
 * permits. An existing file is not opened: on POSIX, closing it would end the locks of other connections of this process.
 */
function createPrivately(path: string): void {
  if (path === ':memory:' || existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
}

async function makeDurable(connection: Connection, busyTimeoutMs: number): Promise<void> {
  connection.control(`PRAGMA busy_timeout = ${BLOCKING_WAIT_MS}`);
  await retryWhileLocked(busyTimeoutMs, () => connection.control('PRAGMA journal_mode = WAL'));
  connection.control('PRAGMA synchronous = FULL');
  // Deleted and replaced bytes are overwritten in the file. Without it, they stay readable until their page is reused.
  connection.control('PRAGMA secure_delete = ON');
}

function openReader(path: string, clocks: ConnectionClocks): Connection {
  return new Connection(new Sqlite(path, { readonly: true, timeout: BLOCKING_WAIT_MS }), clocks);
}

/** A SQLite file that is only read. */
export interface SqliteReading {
  readonly versionColumns: Statement;
  run(statement: Statement): Row[];
  close(): void;
}

/**
 * Opens an existing file to read it. Unlike `openSqliteEngine`, it changes nothing: not the journal mode, and no table.
 * @throws SqliteError when the file cannot be opened
 */
export function openSqliteReading(path: string): SqliteReading {
  const handle = new Sqlite(path, { readonly: true, fileMustExist: true });
  const connection = new Connection(handle, { now: Date.now, retention: Date.now });
  const run = (statement: Statement) => connection.run(statement);
  return { versionColumns, run, close: () => connection.close() };
}
