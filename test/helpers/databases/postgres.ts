import { randomUUID } from 'node:crypto';
import { administer } from './administer.js';
import { alone, distribute, givenServer, nodesOf } from './citus.js';
import { startPgBouncer } from './pgbouncer.js';
import type { ClusterAnswer } from './postgres-worker.js';

/** A registry of clean-up functions, for example ava's `t`. */
export interface Cleanup {
  teardown(end: () => void | Promise<void>): void;
}

let server: Promise<string> | undefined;
/** The hosts of the Postgres of the run, and of its pooler. Undefined unless `TEST_POOLER` is set. */
let pooled: { readonly from: string; readonly to: string } | undefined;

/**
 * Returns the connection string that the servers under test use. With `TEST_POOLER` set it leads through PgBouncer, if
 * the given one leads to the Postgres of the run.
 */
export function servedUrl(url: string): string {
  if (!pooled) return url;
  const at = new URL(url);
  return at.host === pooled.from ? Object.assign(at, { host: pooled.to }).href : url;
}

/** Whether a connection string of the superuser leads to a database of the run, or to a proxy in front of one. */
export function isServed(url: string): boolean {
  return new URL(url).username === 'postgres' && /^\/test_[\da-f]{32}$/.test(new URL(url).pathname);
}

/** Whether the servers under test reach the Postgres of the run through a pooler. */
export function isPooled(): boolean {
  return pooled !== undefined;
}

/**
 * Creates an empty database in the Postgres of the test run, or in the one that `TEST_POSTGRES_URL` names. On the
 * coordinator of a Citus cluster the database has the guard's tables, distributed by scope. Resolves to the connection
 * string. The database is dropped after the test.
 */
export async function freshDatabase(t: Cleanup): Promise<string> {
  server ??= givenServer ? Promise.resolve(givenServer) : askForCluster();
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const nodes = await nodesOf(await server);
  const onEveryNode = async (sql: string) => {
    for (const node of nodes) await administer(node, sql);
  };
  const [url = '', ...others] = nodes.map((node) => Object.assign(new URL(node), { pathname: name }).href);
  t.teardown(() => onEveryNode(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  if (others.length === 0) await onEveryNode(`CREATE DATABASE ${name}`);
  else {
    await alone(async () => {
      await onEveryNode(`CREATE DATABASE ${name}`);
      await distribute([url, ...others]);
    });
  }
  return url;
}

async function askForCluster(): Promise<string> {
  // Commands that are not tests import this file too, and the plugin of ava runs in tests only.
  const { registerSharedWorker } = await import('ava/plugin');
  const worker = registerSharedWorker<unknown>({
    filename: new URL('postgres-worker.js', import.meta.url),
    supportedProtocols: ['ava-4'],
  });
  await worker.available;
  for await (const { data } of worker.publish('where?').replies()) {
    const answer = data as ClusterAnswer;
    if ('error' in answer) throw new Error(answer.error);
    const { url } = answer;
    if (process.env.TEST_POOLER) {
      // It ends with the process.
      const pooler = await startPgBouncer(url, { poolSize: 50 });
      pooled = { from: new URL(url).host, to: new URL(pooler.url).host };
    }
    return url;
  }
  throw new Error('the test run ended before Postgres had started');
}
