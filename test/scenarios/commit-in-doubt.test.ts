import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { leaseMs: 60_000, waitMs: 0 }]));

// The commits wait for a replica that does not exist: durable, and seen by nobody. "Not found" proves nothing
// then; that they were committed shows after the database has crashed.
test('postgres: a commit that is not to be seen yet is neither run again nor given up', async (t) => {
  // Only the handlers' own transactions are to wait.
  const cluster = await startCluster(['synchronous_standby_names=nobody', 'synchronous_commit=local']);
  t.teardown(cluster.stop);
  const proxy = await startProxy(t, cluster.url);
  const opened = await openUrl(proxy.url, { maxConnections: 4 });
  t.teardown(opened.close);
  const ledger = await openLedger(t, 'postgres', {
    opened,
    guard: { policies },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        await database.query("SELECT set_config('synchronous_commit', 'on', true)");
        callback(null, { entryId: randomUUID(), transferId: randomUUID() });
      }),
  });
  const ask = () => Promise.all(methods.map((method) => ledger.ask(method, 'key', method)));

  const first = ask();
  const direct = await openUrl(cluster.url, { maxConnections: 1 });
  t.teardown(direct.close);
  await poll('both commits wait', async () => {
    const waiting = "SELECT 1 AS one FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    return (await direct.database.query(waiting)).length === 2;
  });
  proxy.down();
  proxy.up();
  for (const unknown of await first)
    assertRefused(t, unknown, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
  for (const retry of await ask())
    assertRefused(t, retry, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
  t.is(ledger.entered, 2);
  t.deepEqual(await ledger.effects(), []);

  await cluster.restart();
  let found = await ask();
  await poll('the database is back', async () => {
    if (found.some(({ code }) => code === status.UNAVAILABLE)) found = await ask();
    return found.every(({ code }) => code !== status.UNAVAILABLE);
  });
  for (const reply of found) t.like(reply, { code: status.OK, replayed: true });
  t.is(ledger.entered, 2);
  t.deepEqual(await ledger.effects(), [...methods]);
});
