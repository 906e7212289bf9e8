import { randomUUID } from 'node:crypto';
import { registerSharedWorker } from 'ava/plugin';
import pg from 'pg';
import type { ClusterAnswer } from './postgres-worker.js';

/** A registry of clean-up functions, for example ava's `t`. */
export interface Cleanup {
  teardown(end: () => void | Promise<void>): void;
}

const worker = registerSharedWorker<unknown>({
  filename: new URL('postgres-worker.js', import.meta.url),
  supportedProtocols: ['ava-4'],
});

let cluster: Promise<string> | undefined;

/**
 * Creates an empty database in the Postgres of the test run. Resolves to its connection string. The database is
 * dropped after the test.
 */
export async function freshDatabase(t: Cleanup): Promise<string> {
  cluster ??= askForCluster();
  const server = await cluster;
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await administer(server, `CREATE DATABASE ${name}`);
  t.teardown(() => administer(server, `DROP DATABASE ${name} WITH (FORCE)`));
  return Object.assign(new URL(server), { pathname: name }).href;
}

/** Runs one statement on a new connection. */
export async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function askForCluster(): Promise<string> {
  await worker.available;
  for await (const { data } of worker.publish('where?').replies()) {
    const answer = data as ClusterAnswer;
    if ('error' in answer) throw new Error(answer.error);
    return answer.url;
  }
  throw new Error('the test run ended before Postgres had started');
}
