import test, { type ExecutionContext } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { claimed, completed, digest, inProgress, reply, request } from '../../contracts/store/requests.js';
import { administer } from '../../helpers/databases/administer.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startCluster } from '../../helpers/databases/postgres-cluster.js';
import { poll } from '../../helpers/waiting/poll.js';

const inDoubt = { instanceOf: CommitInDoubtError };
const waitForStandby = "SELECT set_config('synchronous_commit', 'on', true)";

/**
 * Opens a database whose synchronous standby does not exist. Only commits that ask for the standby wait for it.
 * @param settings default settings of the database, as SQL
 */
async function withoutStandby(t: ExecutionContext, settings: readonly string[] = []) {
  const cluster = await startCluster(['synchronous_standby_names=nobody', 'synchronous_commit=local']);
  t.teardown(cluster.stop);
  for (const setting of settings) await administer(cluster.url, `ALTER DATABASE postgres SET ${setting}`);
  const opened = await openUrl(cluster.url, { maxConnections: 1 });
  t.teardown(opened.close);
  const operator = await openUrl(cluster.url, { maxConnections: 1 });
  t.teardown(operator.close);
  await opened.database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
  /** Cancels or terminates the session whose commit waits for the standby. */
  const end = (by: 'cancel' | 'terminate') =>
    poll('a commit waits for the standby', async () => {
      const text = `SELECT pg_${by}_backend(pid) AS ended FROM pg_stat_activity WHERE wait_event = 'SyncRep'`;
      return (await operator.database.query(text)).length === 1;
    });
  return { url: cluster.url, opened, database: opened.database, end };
}

/** A database may hide the warning which says that a commit has not waited for its standby. */
const hidden = ['client_min_messages = error'];

for (const [when, settings] of [
  ['', []],
  [', also if the database hides warnings', hidden],
] as const)
  test(`a commit whose wait for the synchronous standby is cancelled is in doubt${when}`, async (t) => {
    const { opened, database, end } = await withoutStandby(t, settings);
    const insert = 'INSERT INTO notes VALUES ($1)';
    for (const [id, by] of (['cancel', 'terminate'] as const).entries()) {
      const commit = database.transaction(async () => {
        await database.query(waitForStandby);
        await database.query(insert, [id]);
      });
      await Promise.all([t.throwsAsync(commit, inDoubt, by), end(by)]);
    }

    const operation = request({ atomicity: 'TRANSACTION' });
    const claim = claimed(t, await opened.store.claim(operation));
    await claim.run(() => database.query(waitForStandby));
    const completion = (async () => claim.complete(reply('done')))();
    await Promise.all([t.throwsAsync(completion, inDoubt), end('cancel')]);
    completed(t, await opened.store.claim(operation));

    // The next commits on the connections do not wait, so they are certain.
    await database.transaction(() => database.query(insert, [2]));
    await database.query(insert, [3]);
    t.deepEqual(
      await database.query('SELECT id FROM notes ORDER BY id'),
      [0n, 1n, 2n, 3n].map((id) => ({ id })),
    );
  });

test('a single write whose wait for the synchronous standby is cancelled is in doubt', async (t) => {
  const { database, end } = await withoutStandby(t);
  await database.query("SELECT set_config('synchronous_commit', 'on', false)");
  const write = database.query('INSERT INTO notes VALUES (1)');
  await Promise.all([t.throwsAsync(write, inDoubt), end('cancel')]);
});

test('the first commits of connections are in doubt if their waits are cancelled and the database hides warnings', async (t) => {
  const { url } = await withoutStandby(t, hidden);
  await administer(url, 'ALTER DATABASE postgres SET synchronous_commit = on');
  const { database, store, close } = await openUrl(url, { maxConnections: 3 });
  t.teardown(close);
  // One of the connections was opened before. The first batch of each other connection commits.
  const insert = (id: number) => database.query('INSERT INTO notes VALUES ($1)', [id]);
  const claim = async () => store.claim(request({ atomicity: 'LEASE' }));
  const commits = [
    t.throwsAsync(insert(1), inDoubt),
    t.throwsAsync(insert(2), inDoubt),
    t.throwsAsync(claim(), { instanceOf: DatabaseUnavailableError }),
  ];
  const waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
  await poll('the commits wait', async () => (await administer(url, `SELECT pid ${waiting}`)).length === 3);
  await administer(url, `SELECT pg_cancel_backend(pid) ${waiting}`);
  await Promise.all(commits);
});

test('a commit is certain after a claim without effect whose wait for the synchronous standby was cancelled', async (t) => {
  const { opened, database, end } = await withoutStandby(t);
  const operation = request({ atomicity: 'LEASE', leaseMs: 0 });
  claimed(t, await opened.store.claim(operation));
  await database.query("SELECT set_config('synchronous_commit', 'on', false)");
  // Only a claim with the same fingerprint takes the lease over. The other claim locks the record and changes nothing.
  const refused = (async () => opened.store.claim({ ...operation, fingerprint: digest('other') }))();
  await end('cancel');
  inProgress(t, await refused);
  await database.transaction(async () => {
    await database.query("SELECT set_config('synchronous_commit', 'local', true)");
    await database.query('INSERT INTO notes VALUES (1)');
  });
  t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 1n }]);
});
