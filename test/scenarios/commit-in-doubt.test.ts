import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { retryWhileUnavailable } from '../helpers/calls/retry-while-unavailable.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { leaseMs: 60_000, waitMs: 0 }]));

// The commits wait for a synchronous standby that does not exist. They are durable, but no session can read them, so
// a look-up that finds no record proves nothing. After a crash of the database the commits are visible.
test('postgres: a commit that waits for a standby is in doubt: its key does not execute again, and replays later', async (t) => {
  // Only the transactions of the handlers must wait for the standby.
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
  await poll('both commits wait for the standby', async () => {
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
  for (const method of methods) {
    const reply = await retryWhileUnavailable(() => ledger.ask(method, 'key', method));
    t.like(reply, { code: status.OK, replayed: true });
  }
  t.is(ledger.entered, 2);
  t.deepEqual(await ledger.effects(), [...methods]);
});
