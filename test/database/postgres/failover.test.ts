import test, { type ExecutionContext } from 'ava';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import type { OpenStore } from 'grpc-replay-guard/store';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { administer } from '../../helpers/databases/administer.js';
import { type EngineOptions, openUrl } from '../../helpers/databases/open-url.js';
import { freshDatabase } from '../../helpers/databases/postgres.js';
import { startCluster } from '../../helpers/databases/postgres-cluster.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

/** Returns a connection string with the hosts of several ones, in their order. */
function several(urls: readonly string[], parameters = ''): string {
  const [first = ''] = urls;
  return first.replace(new URL(first).host, urls.map((url) => new URL(url).host).join()) + parameters;
}

async function open(t: ExecutionContext, url: string, options: EngineOptions = {}): Promise<OpenStore> {
  const opened = await openUrl(url, options);
  t.teardown(opened.close);
  return opened;
}

/** The address at which a server of the database listens. */
const portOf = async ({ database }: OpenStore) =>
  Number((await database.query("SELECT current_setting('port') AS port"))[0]?.port);

/** Starts a primary and its standby. Both end after the test. */
async function startPair(t: ExecutionContext) {
  const cluster = await startCluster(['wal_level=replica', 'max_wal_senders=5', 'wal_keep_size=512MB']);
  t.teardown(cluster.stop);
  const standby = await cluster.startStandby('standby');
  t.teardown(standby.stop);
  const caughtUp = () =>
    poll('the standby has all commits', async () => {
      const [row] = await administer(
        cluster.url,
        `SELECT count(*)::int AS standbys FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_flush_lsn()`,
      );
      return row?.standbys === 1;
    });
  await caughtUp();
  return { cluster, standby, caughtUp };
}

test.serial(
  'a standby is not used, and after the first refused write of a demoted primary the promoted host is used',
  async (t) => {
    const { cluster, standby, caughtUp } = await startPair(t);
    const url = several([standby.url, cluster.url], '?target_session_attrs=read-write');
    const server = await open(t, url, { maxConnections: 5 });
    const { store } = server;
    t.is(await portOf(server), Number(new URL(cluster.url).port));
    const woken = new Barrier();
    let errors = 0;
    const wakeUps = createPostgresWakeUps({ client: { connectionString: url }, onError: () => errors++ });
    wakeUps.start(() => void woken.pass());
    t.teardown(() => wakeUps.stop());
    await woken.reached(1);
    const operation = request({ atomicity: 'TRANSACTION' });
    await claimed(t, await store.claim(operation)).complete(reply('before'));
    // Several idle connections lead to the first server.
    await Promise.all(Array.from({ length: 5 }, () => server.database.transaction(() => portOf(server))));
    await caughtUp();

    await administer(standby.url, 'SELECT pg_promote()');
    await administer(cluster.url, 'ALTER SYSTEM SET default_transaction_read_only = on');
    await administer(cluster.url, 'SELECT pg_reload_conf()');
    await poll('the former primary refuses writes', async () => {
      const [row] = await administer(cluster.url, 'SHOW transaction_read_only');
      return row?.transaction_read_only === 'on';
    });
    const next = () => store.claim(request({ atomicity: 'TRANSACTION' }));
    // The server that was demoted refuses the first claim at the latest. No further claim reaches it.
    await t.throwsAsync(
      async () => {
        for (;;) await claimed(t, await next()).complete(reply('demoted'));
      },
      { instanceOf: DatabaseUnavailableError },
    );
    await claimed(t, await next()).complete(reply('after'));
    t.is(await portOf(server), Number(new URL(standby.url).port));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('before'));

    // The source of wake-ups follows when its server ends.
    await cluster.crash();
    await woken.reached(2);
    t.true(errors > 0);
  },
);

test.serial('after the loss of the primary, new connections use the promoted standby', async (t) => {
  const { cluster, standby, caughtUp } = await startPair(t);
  const server = await open(t, several([cluster.url, standby.url]), { maxConnections: 3 });
  const operation = request();
  await claimed(t, await server.store.claim(operation)).complete(reply('before'));
  await caughtUp();
  await cluster.crash();
  const error = await t.throwsAsync(async () => server.store.claim(request()), {
    instanceOf: DatabaseUnavailableError,
  });
  // The pool noticed the loss of its connections, or tried both hosts.
  t.log(error?.message);
  await t.throwsAsync(async () => server.store.claim(request()), {
    instanceOf: DatabaseUnavailableError,
    message: /host 1: .*ECONNREFUSED.*; host 2: the host accepts reads only/,
  });
  await administer(standby.url, 'SELECT pg_promote()');
  await claimed(t, await server.store.claim(request())).complete(reply('after'));
  t.deepEqual(completed(t, await server.store.claim(operation)).reply, reply('before'));
});

test.serial(
  'a host that does not answer, and a host that closes the connection, are skipped within the connection time-out',
  async (t) => {
    const url = await freshDatabase(t);
    const silent = await startProxy(t, url);
    silent.hang();
    const closed = await startProxy(t, url);
    closed.down();
    const server = await open(t, several([silent.url, closed.url, url]), { maxConnections: 4 });
    // The good host stays the first one that connections try.
    const tried = silent.refused + closed.refused;
    await Promise.all(Array.from({ length: 4 }, () => server.database.transaction(() => portOf(server))));
    t.is(silent.refused + closed.refused, tried);
  },
);

test.serial('a wrong password is reported at once, and the other hosts are not tried', async (t) => {
  const url = await freshDatabase(t);
  const other = await startProxy(t, url);
  const wrong = several([url, other.url]).replace(/:[^:@]+@/, ':wrong@');
  const error = await t.throwsAsync(openUrl(wrong), { instanceOf: DatabaseUnavailableError });
  t.is((error?.cause as { code?: string } | undefined)?.code, '28P01');
  t.is(other.connections, 0);
});
