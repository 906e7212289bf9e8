import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenStore } from 'grpc-replay-guard/store';
import { type EngineOptions, openUrl } from './open-url.js';
import { type Cleanup, freshDatabase } from './postgres.js';

export type { EngineOptions };

/** The databases that everything is tested on. */
export const engines = ['sqlite', 'postgres'] as const;
export type Engine = (typeof engines)[number];

/** An empty place for data. Each `open` is another server on the same data; all close after the test. */
export interface DataSource {
  readonly engine: Engine;
  /** In the form of `DATABASE_URL`. */
  readonly url: string;
  open(options?: EngineOptions): Promise<OpenStore>;
}

/** A SQLite file in a folder of its own, or a Postgres database of its own; gone after the test. */
export async function freshData(t: Cleanup, engine: Engine): Promise<DataSource> {
  const url =
    engine === 'sqlite' ? `sqlite:${join(await freshFolder(t), 'test.db')}` : await freshDatabase(t);
  return dataAt(t, engine, url);
}

/** Data that is there; what the test opens of it closes after the test. */
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

/** `freshData` opened once, for tests that need no second server. */
export async function openEngine(t: Cleanup, engine: Engine, options?: EngineOptions): Promise<OpenStore> {
  return (await freshData(t, engine)).open(options);
}

const folders = new Set<string>();
const remove = (folder: string) => rmSync(folder, { recursive: true, force: true });
process.once('exit', () => {
  folders.forEach(remove);
});

/** An empty folder, deleted after the test, or at the latest with the process. */
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
