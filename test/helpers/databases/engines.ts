import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenStore } from 'grpc-replay-guard/store';
import { isRestricted } from '../deployments/runtime-role.js';
import { type EngineOptions, openUrl } from './open-url.js';
import { type Cleanup, freshDatabase } from './postgres.js';

export type { EngineOptions };

/** A kind of database. */
export type Engine = 'sqlite' | 'postgres';

/** Whether the run is about a way to reach Postgres, so that other databases are not tested again. */
export const isPostgresOnly = process.env.TEST_POOLER !== undefined || isRestricted;

/** The databases on which the tests run. */
export const engines: readonly Engine[] = isPostgresOnly ? ['postgres'] : ['sqlite', 'postgres'];

/** A database for a test. Each `open` call opens another server on the same data. All servers close after the test. */
export interface DataSource {
  readonly engine: Engine;
  /** The address in the form of `DATABASE_URL`. */
  readonly url: string;
  open(options?: EngineOptions): Promise<OpenStore>;
}

/** Creates a new SQLite file or Postgres database, which is deleted after the test. */
export async function freshData(t: Cleanup, engine: Engine): Promise<DataSource> {
  const url =
    engine === 'sqlite' ? `sqlite:${join(await freshFolder(t), 'test.db')}` : await freshDatabase(t);
  return dataAt(t, engine, url);
}

/** Returns the data source of an existing database. Its servers close after the test. */
export function dataAt(t: Cleanup, engine: Engine, url: string): DataSource {
  return {
    engine,
    url,
    async open(options = {}) {
      const opened = closingOnce(await openUrl(url, options));
      t.teardown(opened.close);
      return opened;
    },
  };
}

/** Creates a new database and opens one server on it. */
export async function openEngine(t: Cleanup, engine: Engine, options?: EngineOptions): Promise<OpenStore> {
  return (await freshData(t, engine)).open(options);
}

const folders = new Set<string>();
const remove = (folder: string) => rmSync(folder, { recursive: true, force: true });
process.once('exit', () => {
  folders.forEach(remove);
});

/** Creates an empty folder. The folder is deleted after the test, or at the end of the process. */
export async function freshFolder(t: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-test-'));
  folders.add(folder);
  t.teardown(() => {
    remove(folder);
    folders.delete(folder);
  });
  return folder;
}

function closingOnce(opened: OpenStore): OpenStore {
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= opened.close();
    return closed;
  };
  return { ...opened, close };
}
