import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { administer } from '../helpers/databases/administer.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { pgbouncer, startPgBouncer } from '../helpers/databases/pgbouncer.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { leaseMs: 2_000, waitMs: 0 }]));
const CALLS_BEFORE_THE_LOSS = 20;

/** How the server under test reaches the database, and what an operator does after the promotion. */
interface Route {
  readonly url: string;
  readonly pooler?: 'transaction';
  promoted(): Promise<void>;
}

/** Starts a primary with a synchronous standby. Both end after the test. */
async function startPair(t: ExecutionContext) {
  const cluster = await startCluster(['wal_level=replica', 'max_wal_senders=5']);
  t.teardown(cluster.stop);
  const standby = await cluster.startStandby('standby');
  t.teardown(standby.stop);
  await administer(cluster.url, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await administer(cluster.url, 'SELECT pg_reload_conf()');
  await poll('the standby is synchronous', async () => {
    const [row] = await administer(cluster.url, 'SELECT sync_state FROM pg_stat_replication');
    return row?.sync_state === 'sync';
  });
  return { cluster, standby };
}

type Pair = Awaited<ReturnType<typeof startPair>>;

/** Loses the primary while calls run, promotes the standby, and repeats every call until it is OK. */
async function survive(t: ExecutionContext, { cluster, standby }: Pair, route: Route): Promise<void> {
  const { url, pooler, promoted } = route;
  const opened = await openUrl(url, { maxConnections: 6, lockTimeoutMs: 2_000, ...(pooler && { pooler }) });
  t.teardown(opened.close);
  const ledger = await openLedger(t, 'postgres', {
    opened,
    guard: { policies },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        const id = randomUUID();
        callback(null, { entryId: id, transferId: id });
      }),
  });
  const acknowledged = new Map<string, string>();
  const keys: string[] = [];
  const call = async (key: string) => {
    const method = methods[keys.indexOf(key) % 2] ?? 'append';
    const { code, message, replayed } = await ledger.ask(method, key, key);
    if (code !== status.OK) return false;
    const id = String(message?.transferId || message?.entryId);
    if (acknowledged.has(key)) t.true(replayed, `${key} is replayed`);
    t.is(acknowledged.get(key) ?? id, id, `${key} has one reply`);
    acknowledged.set(key, id);
    return true;
  };
  let isLost = false;
  const load = Array.from({ length: 4 }, async () => {
    while (!isLost) {
      const key = `key-${keys.length}`;
      keys.push(key);
      await call(key);
    }
  });
  await poll('calls are acknowledged', () => acknowledged.size >= CALLS_BEFORE_THE_LOSS);
  await cluster.crash();
  isLost = true;
  await Promise.all(load);
  const before = new Set(acknowledged.keys());
  await administer(standby.url, 'SELECT pg_promote()');
  await promoted();
  for (const key of keys) await poll(`${key} is OK`, () => call(key));
  t.log(`${keys.length} keys, ${before.size} acknowledged before the loss`);
  const effects = await administer(standby.url, 'SELECT account FROM effects');
  t.deepEqual(
    effects.map(({ account }) => String(account)).sort(),
    [...keys].sort(),
    'each key has one effect',
  );
}

test('several hosts: the synchronous standby is promoted under load: every key has one effect and one reply', async (t) => {
  const pair = await startPair(t);
  const [first, second] = [pair.cluster, pair.standby].map(({ url }) => new URL(url).host) as [
    string,
    string,
  ];
  const url = `${pair.cluster.url.replace(first, `${first},${second}`)}?target_session_attrs=read-write`;
  await survive(t, pair, { url, promoted: async () => {} });
});

test('PgBouncer: the synchronous standby is promoted under load: every key has one effect and one reply', async (t) => {
  if (!pgbouncer) {
    t.log('did not run: this machine has no PgBouncer');
    return t.pass();
  }
  const pair = await startPair(t);
  const pooler = await startPgBouncer(pair.cluster.url);
  t.teardown(pooler.stop);
  const promoted = () => pooler.leadTo(pair.standby.url);
  await survive(t, pair, { url: pooler.url, pooler: 'transaction', promoted });
});
