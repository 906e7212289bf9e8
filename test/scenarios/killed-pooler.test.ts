import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { retryWhileUnavailable } from '../helpers/calls/retry-while-unavailable.js';
import { administer } from '../helpers/databases/administer.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { pgbouncer, startPgBouncer } from '../helpers/databases/pgbouncer.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { type Ledger, methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { leaseMs: 60_000, waitMs: 0 }]));

/** Runs a test if the machine has a PgBouncer. Otherwise the test reports that it did not run. */
function it(title: string, check: (t: ExecutionContext) => Promise<void>): void {
  test(title, async (t) => {
    if (pgbouncer) return check(t);
    t.log('did not run: this machine has no PgBouncer');
    t.pass();
  });
}

/** Starts a PgBouncer in front of a database, and a guarded server behind it. */
async function serve(
  t: ExecutionContext,
  url: string,
  inTransaction?: (database: Ledger['database']) => Promise<void>,
) {
  const pooler = await startPgBouncer(url);
  t.teardown(pooler.stop);
  const opened = await openUrl(pooler.url, { maxConnections: 4, pooler: 'transaction' });
  t.teardown(opened.close);
  const ledger = await openLedger(t, 'postgres', {
    opened,
    guard: { policies },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        await inTransaction?.(database);
        callback(null, { entryId: randomUUID(), transferId: randomUUID() });
      }),
  });
  const ask = () => Promise.all(methods.map((method) => ledger.ask(method, 'key', method)));
  return { pooler, ledger, ask };
}

/** Asks until the database serves again, and asserts that both keys replay their one execution. */
async function assertReplayed(t: ExecutionContext, { ledger }: Awaited<ReturnType<typeof serve>>) {
  for (const method of methods) {
    const reply = await retryWhileUnavailable(() => ledger.ask(method, 'key', method));
    t.like(reply, { code: status.OK, replayed: true });
  }
  t.is(ledger.entered, 2);
  t.deepEqual(await ledger.effects(), [...methods]);
}

// The commits wait for a synchronous standby that does not exist, so PgBouncer has sent them and has no answer.
it('postgres: PgBouncer is killed at COMMIT: the key does not execute again, and replays later', async (t) => {
  const cluster = await startCluster(['synchronous_standby_names=nobody', 'synchronous_commit=local']);
  t.teardown(cluster.stop);
  const served = await serve(t, cluster.url, async (database) => {
    await database.query("SELECT set_config('synchronous_commit', 'on', true)");
  });
  const { pooler, ledger, ask } = served;
  const first = ask();
  await poll('both commits wait for the standby', async () => {
    const waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    return (await administer(cluster.url, waiting)).length === 2;
  });
  pooler.kill('SIGKILL');
  await pooler.ended();
  for (const unknown of await first)
    assertRefused(t, unknown, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
  await pooler.start();
  for (const retry of await ask())
    assertRefused(t, retry, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
  t.is(ledger.entered, 2);
  await cluster.restart();
  await assertReplayed(t, served);
});

it('postgres: PgBouncer ends by SIGINT: open transactions commit, later calls are refused until it serves', async (t) => {
  const open = new Barrier();
  const served = await serve(t, await freshDatabase(t), () => open.pass());
  const { pooler, ledger, ask } = served;
  const first = ask();
  await open.reached(2);
  pooler.kill('SIGINT');
  open.open();
  for (const reply of await first) t.like(reply, { code: status.OK, replayed: false });
  await pooler.ended();
  for (const refused of await ask())
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
  t.is(ledger.entered, 2);
  await pooler.start();
  await assertReplayed(t, served);
});
