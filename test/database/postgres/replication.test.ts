import test, { type ExecutionContext } from 'ava';
import { createConsumer, processOnce } from 'grpc-replay-guard/consumer';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { seriesAddress } from '#library/store/producer/sequence-rules.js';
import { claimed, completed, digest, reply, request } from '../../contracts/store/requests.js';
import { administer } from '../../helpers/databases/administer.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { type Cluster, type Standby, startCluster } from '../../helpers/databases/postgres-cluster.js';
import { poll } from '../../helpers/waiting/poll.js';

/** The primary with one synchronous standby, which all tests of this file use one after another. */
let [cluster, standby]: [Cluster?, Standby?] = [];
const open = async (t: ExecutionContext) => {
  const opened = await openUrl(String(cluster?.url), { maxConnections: 4 });
  t.teardown(opened.close);
  return opened;
};

/** Counts the commits that wait for the standby. */
const waiting = async () => {
  const text = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
  return (await administer(String(cluster?.url), text)).length;
};

test.before(async () => {
  cluster = await startCluster();
  // The tables exist before the standby does, so that no commit of the start waits.
  const first = await openUrl(cluster.url);
  await first.database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
  await first.close();
  await administer(cluster.url, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  standby = await cluster.startStandby('standby');
});

test.after.always(async () => {
  await standby?.stop();
  await cluster?.stop();
});

/** Ends the sessions whose commits wait for the standby. */
const interruptions = {
  'a terminated session': async () => {
    await administer(
      String(cluster?.url),
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
    );
  },
  'a restart of the primary': async () => cluster?.restart(),
};

const series = { id: digest('series'), epoch: 0n, sequence: 0n };

for (const [kind, what] of [
  ['TRANSACTION', 'a terminated session'],
  ['a series', 'a terminated session'],
  ['LEASE', 'a restart of the primary'],
] as const) {
  test.serial(
    `${kind}: a reply that no standby has after ${what} is replayed when the standby has it`,
    async (t) => {
      const [server, other] = [await open(t), await open(t)];
      const operation = request(
        kind === 'a series'
          ? { atomicity: 'TRANSACTION', series: { ...series, id: digest(what) } }
          : { atomicity: kind },
      );
      const claim = claimed(t, await server.store.claim(operation));
      await standby?.pause();
      const lost = (async () => claim.complete(reply('done')))();
      const inDoubt = t.throwsAsync(lost, { instanceOf: CommitInDoubtError });
      await poll('the commit waits', async () => (await waiting()) === 1);
      await interruptions[what]();
      await inDoubt;

      const find = async () =>
        operation.series
          ? server.store.findProducer(seriesAddress({ ...operation, series: operation.series }))
          : server.store.find(operation);
      const pending = { find: find(), claim: (async () => other.store.claim(operation))() };
      const early: string[] = [];
      for (const [name, answer] of Object.entries(pending))
        void answer.then(() => early.push(name)).catch((error) => early.push(String(error)));
      await poll('both look-ups wait for the standby', async () => (await waiting()) === 2);
      t.deepEqual(early, []);

      await standby?.resume();
      t.truthy(await pending.find);
      completed(t, await pending.claim);
    },
  );
}

test.serial('a replay whose confirmation is lost is unavailable, and a later one is answered', async (t) => {
  const { store } = await open(t);
  const operation = request({ atomicity: 'TRANSACTION' });
  await claimed(t, await store.claim(operation)).complete(reply('done'));
  await standby?.pause();
  const refused = t.throwsAsync(async () => store.claim(operation), {
    instanceOf: DatabaseUnavailableError,
  });
  await poll('the look-up waits for the standby', async () => (await waiting()) === 1);
  await interruptions['a terminated session']();
  await refused;
  await standby?.resume();
  completed(t, await store.claim(operation));
});

test.serial(
  'a reply is replayed from a standby, whose settings name a synchronous standby, too',
  async (t) => {
    const { store } = await open(t);
    const operation = request({ atomicity: 'TRANSACTION' });
    await claimed(t, await store.claim(operation)).complete(reply('done'));
    const reader = await openUrl(String(standby?.url), { maxConnections: 1 });
    t.teardown(reader.close);
    const [setting] = await reader.database.query(
      "SELECT current_setting('synchronous_standby_names') AS names, pg_is_in_recovery() AS recovers",
    );
    t.deepEqual(setting, { names: 'standby', recovers: true as never });
    await poll('the standby has the record', async () => (await reader.store.find(operation)) !== undefined);
    completed(t, await reader.store.find(operation));
  },
);

test.serial('a replay waits for no standby when the administrator has removed the standby', async (t) => {
  const { store } = await open(t);
  const operation = request({ atomicity: 'TRANSACTION' });
  await claimed(t, await store.claim(operation)).complete(reply('done'));
  await standby?.pause();
  const replays = Array.from({ length: 10 }, async () => store.claim(operation));
  // All look-ups share one commit.
  await poll('the look-ups wait for the standby', async () => (await waiting()) === 1);
  await administer(String(cluster?.url), 'ALTER SYSTEM RESET synchronous_standby_names');
  await administer(String(cluster?.url), 'SELECT pg_reload_conf()');
  for (const replayed of replays) completed(t, await replayed);
  completed(t, await store.claim(operation));
  t.is(await waiting(), 0);
});

test.serial('a duplicate message is acknowledged when the standby has its processing', async (t) => {
  const [server, other] = [await open(t), await open(t)];
  for (const { database } of [server, other]) await (await createConsumer({ database })).close();
  const message = { consumer: 'receiver', scope: 'queue', messageId: 'm' };
  await standby?.pause();
  await administer(String(cluster?.url), `ALTER SYSTEM SET synchronous_standby_names = 'standby'`);
  await administer(String(cluster?.url), 'SELECT pg_reload_conf()');
  const first = processOnce(server.database, message, async () => {});
  const inDoubt = t.throwsAsync(first, { instanceOf: CommitInDoubtError });
  await poll('the commit waits', async () => (await waiting()) === 1);
  await interruptions['a terminated session']();
  await inDoubt;

  const deliver = () => processOnce(other.database, message, async () => t.fail());
  const refused = t.throwsAsync(deliver(), { instanceOf: CommitInDoubtError });
  await poll('the duplicate waits for the standby', async () => (await waiting()) === 1);
  await interruptions['a terminated session']();
  await refused;

  const delivery = deliver();
  await poll('the duplicate waits for the standby', async () => (await waiting()) === 1);
  await standby?.resume();
  t.deepEqual(await delivery, { outcome: 'duplicate' });
});
