import { randomUUID } from 'node:crypto';
import { registerSharedWorker } from 'ava/plugin';
import pg from 'pg';
import type { ClusterAnswer } from './postgres-worker.js';

/** Where things register their own end: ava's `t`, or anything like it. */
export interface Cleanup {
  teardown(end: () => void | Promise<void>): void;
}

const worker = registerSharedWorker<unknown>({
  filename: new URL('postgres-worker.js', import.meta.url),
  supportedProtocols: ['ava-4'],
});

let asked: Promise<string> | undefined;

/** Creates an empty database in the run's Postgres and returns its connection string; dropped after the test. */
export async function freshDatabase(t: Cleanup): Promise<string> {
  asked ??= askForCluster();
  const server = await asked;
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await administer(server, `CREATE DATABASE ${name}`);
  t.teardown(() => administer(server, `DROP DATABASE ${name} WITH (FORCE)`));
  return Object.assign(new URL(server), { pathname: name }).href;
}

/** Runs one statement on a connection of its own. */
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
  throw new Error('the run ended before Postgres was up');
}
