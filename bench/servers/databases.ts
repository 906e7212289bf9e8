import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Engine } from './subject.js';

/** The databases of a benchmark: SQLite files in a temporary folder, and a Postgres of its own. */
export interface Databases {
  /** Makes an empty database and returns its URL. */
  create(engine: Engine): Promise<string>;
  /** The processes of Postgres that serve a database. */
  backends(databaseUrl: string): Promise<number[]>;
  /** The size of a database on the disk, in bytes. */
  bytes(databaseUrl: string): Promise<number>;
  stop(): Promise<void>;
}

// The program that keeps the Postgres of the tests. It ends when its input ends.
const program = fileURLToPath(new URL('../../test/helpers/databases/postgres-main.js', import.meta.url));

/**
 * Starts Postgres from the binaries in node_modules.
 * @throws Error when Postgres does not start
 */
export async function startDatabases(): Promise<Databases> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-bench-'));
  const postgres = spawn(process.execPath, [program], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const clusterUrl = await urlOf(postgres);
    return {
      create: (engine) =>
        engine === 'sqlite'
          ? Promise.resolve(`sqlite:${join(folder, `${randomUUID()}.db`)}`)
          : createDatabase(clusterUrl),
      backends: (databaseUrl) => backendsOf(clusterUrl, new URL(databaseUrl).pathname.slice(1)),
      bytes: (databaseUrl) =>
        databaseUrl.startsWith('sqlite:')
          ? fileBytes(databaseUrl.slice('sqlite:'.length))
          : databaseBytes(databaseUrl),
      stop: async () => {
        await Promise.all([end(postgres), rm(folder, { recursive: true, force: true })]);
      },
    };
  } catch (error) {
    await Promise.all([end(postgres), rm(folder, { recursive: true, force: true })]);
    throw error;
  }
}

async function urlOf(postgres: ChildProcess): Promise<string> {
  if (!postgres.stdout) throw new Error('the Postgres process has no output');
  const [line] = await once(createInterface({ input: postgres.stdout }), 'line');
  const answer: { url?: string; error?: string } = JSON.parse(line);
  if (!answer.url) throw new Error(answer.error ?? 'Postgres did not start');
  return answer.url;
}

async function end(postgres: ChildProcess): Promise<void> {
  if (postgres.exitCode !== null) return;
  const ended = once(postgres, 'exit');
  postgres.stdin?.end();
  await ended;
}

async function createDatabase(clusterUrl: string): Promise<string> {
  const name = `bench_${randomUUID().replaceAll('-', '')}`;
  await query(clusterUrl, `CREATE DATABASE ${name}`);
  return Object.assign(new URL(clusterUrl), { pathname: name }).href;
}

async function backendsOf(clusterUrl: string, name: string): Promise<number[]> {
  const rows = await query(clusterUrl, 'SELECT pid FROM pg_stat_activity WHERE datname = $1', [name]);
  return rows.map(({ pid }) => Number(pid));
}

/** The size of a SQLite file and its log. */
async function fileBytes(path: string): Promise<number> {
  const files = await Promise.all([stat(path), stat(`${path}-wal`)]);
  return files.reduce((sum, { size }) => sum + size, 0);
}

async function databaseBytes(url: string): Promise<number> {
  const [row] = await query(url, 'SELECT pg_database_size(current_database()) AS bytes');
  return Number(row?.bytes);
}

async function query(url: string, text: string, values: string[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}
