import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadSync } from '@grpc/proto-loader';
import type { ExecutionContext } from 'ava';
import pg from 'pg';
import type { Method } from '../helpers/calls/call.js';
import { administer } from '../helpers/databases/administer.js';
import { type PgBouncer, pgbouncer, startPgBouncer } from '../helpers/databases/pgbouncer.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { connectTo } from '../helpers/servers/server.js';
import { poll } from '../helpers/waiting/poll.js';
import { startExample } from './example-process.js';

const run = promisify(execFile);

/**
 * Asserts that two servers of the example, with a role that may not create tables, capture a payment once: with
 * duplicates, a server that is killed during the call, and a pooler that is killed. Without PgBouncer on this machine, the
 * servers use Postgres directly.
 */
export async function assertCapturesOnce(t: ExecutionContext, folder: string): Promise<void> {
  const owner = await freshDatabase(t);
  const url = await adopt(t, folder, owner);
  const pooler = await poolerOf(t, url);
  const servers = ['a', 'b'].map((name) => {
    const address = `unix:${join(folder, `${name}.sock`)}`;
    return startExample(t, folder, {
      ...environment,
      GRPC_ADDRESS: address,
      DATABASE_URL: pooler?.url ?? url,
    });
  });
  const [first, second] = await Promise.all(servers);
  if (!first || !second) return t.fail();
  const { Capture } = service(folder);
  const capture = (address: string, paymentId: string) =>
    connectTo(t, address).call(Capture, { paymentId, account: 'ada', amount: '5' });

  const executed = await capture(first.address, 'p-1');
  t.like(executed, { code: 0, replayed: false });
  const replayed = await capture(second.address, 'p-1');
  t.like(replayed, { code: 0, replayed: true });
  t.deepEqual(replayed.bytes, executed.bytes);

  const { release, waits } = await lockAccount(t, owner);
  const interrupted = capture(first.address, 'p-2');
  await poll('the call writes', waits);
  await first.kill();
  t.is((await interrupted).code, 14);
  await release();
  const retried = await capture(second.address, 'p-2');
  t.like(retried, { code: 0, replayed: false });

  if (pooler) {
    pooler.kill('SIGKILL');
    await pooler.ended();
    t.is((await capture(second.address, 'p-3')).code, 14);
    await pooler.start();
  }
  await poll('a reply', async () => (await capture(second.address, 'p-3')).code === 0);
  t.like(await capture(second.address, 'p-2'), { code: 0, replayed: true });

  const effects = await administer(owner, 'SELECT payment FROM captures ORDER BY payment');
  t.deepEqual(effects, [{ payment: 'p-1' }, { payment: 'p-2' }, { payment: 'p-3' }]);
  t.deepEqual(await administer(owner, 'SELECT balance::int AS balance FROM accounts'), [{ balance: 15 }]);
  // The outage has one line at its beginning and one at its end.
  const end = /ReplayGuard.*the database is available again/;
  if (pooler) await poll('the end of the outage', () => second.output.some((line) => end.test(line)));
  const { code, stderr } = await second.stop();
  t.is(code, 0);
  const errors = stderr.split('\n').filter(Boolean);
  t.is(errors.length, pooler ? 1 : 0, stderr);
  if (pooler) t.regex(stderr, /ReplayGuard.*the database is unavailable/);
  const spans = second.output.join('\n');
  for (const outcome of ['executed', 'replayed']) t.regex(spans, new RegExp(`outcome': '${outcome}'`));
  t.regex(spans, /'replay_guard.link': 'first_execution'/);
}

const environment = {
  OTEL_TRACES_EXPORTER: 'console',
  OTEL_METRICS_EXPORTER: 'none',
  OTEL_LOGS_EXPORTER: 'none',
};

interface Service {
  readonly Capture: Method<{ paymentId: string; account: string; amount: string }, { captureId?: string }>;
}

function service(folder: string): Service {
  const definitions = loadSync(join(folder, 'payments.proto'), { longs: String });
  return definitions['payments.v1.PaymentService'] as unknown as Service;
}

/** Creates the tables of the example, and those of the guard as its README says. Resolves to the URL of the servers. */
async function adopt(t: ExecutionContext, folder: string, owner: string): Promise<string> {
  const role = `payments_${randomUUID().replaceAll('-', '')}`;
  await administer(owner, `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  t.teardown(() => administer(owner, `DROP OWNED BY ${role}; DROP ROLE ${role}`));
  const tables = await readFile(join(folder, 'tables.sql'), 'utf8');
  await administer(owner, tables.replaceAll('payments_app', role));
  const program = join(folder, 'node_modules/.bin/grpc-replay-guard');
  const options = ['--database-url', owner, '--schema', 'guard', '--part', 'guard', '--role', role];
  const { stdout } = await run(program, ['plans', ...options]);
  await administer(owner, stdout);
  await run(program, ['doctor', ...options]);
  const url = Object.assign(new URL(owner), { username: role, password: 'secret' }).href;
  await t.throwsAsync(administer(url, 'CREATE TABLE not_allowed (id text)'));
  return url;
}

async function poolerOf(t: ExecutionContext, url: string): Promise<PgBouncer | undefined> {
  if (!pgbouncer) {
    t.log('this machine has no PgBouncer, so the servers use Postgres directly');
    return undefined;
  }
  const pooler = await startPgBouncer(url);
  t.teardown(() => pooler.stop());
  return pooler;
}

/** Locks the rows of the accounts, until `release`. `waits` resolves to whether a statement waits for them. */
async function lockAccount(t: ExecutionContext, url: string) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  await client.query('BEGIN');
  await client.query('LOCK TABLE accounts IN SHARE MODE');
  const waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%accounts%'";
  return {
    waits: async () => (await administer(url, waiting)).length > 0,
    release: () => client.query('ROLLBACK'),
  };
}
