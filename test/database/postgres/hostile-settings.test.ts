import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { createConsumer, processOnce } from 'grpc-replay-guard/consumer';
import { migrateOutbox } from 'grpc-replay-guard/outbox';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { administer } from '../../helpers/databases/administer.js';
import { isCitus } from '../../helpers/databases/citus.js';
import { type DataSource, dataAt, freshData } from '../../helpers/databases/engines.js';
import { openOutbox } from '../../helpers/databases/outbox.js';
import { useOutboxAndConsumer } from '../../helpers/databases/use-outbox.js';
import { series, useStore } from '../../helpers/stores/use-store.js';
import { poll } from '../../helpers/waiting/poll.js';

/** Default settings that a role or a database may have, and that are unlike the settings of a new database. */
const hostile = [
  'array_nulls = off',
  'bytea_output = escape',
  'client_encoding = LATIN1',
  'client_min_messages = error',
  "DateStyle = 'SQL, DMY'",
  'default_transaction_deferrable = on',
  'default_transaction_isolation = serializable',
  'extra_float_digits = -15',
  'idle_in_transaction_session_timeout = 1',
  'IntervalStyle = sql_standard',
  'jit = on',
  'lock_timeout = 0',
  'plan_cache_mode = force_generic_plan',
  'quote_all_identifiers = on',
  'row_security = off',
  'search_path = nowhere, public',
  'session_replication_role = replica',
  'standard_conforming_strings = off',
  'statement_timeout = 0',
  'synchronous_commit = off',
  "TimeZone = 'Asia/Kathmandu'",
  'transform_null_equals = on',
  "work_mem = '64kB'",
];

/** Returns a new database on which each hostile setting is the default, and the servers of a role that is no superuser. */
async function hostileData(t: ExecutionContext, source: 'database' | 'role'): Promise<DataSource> {
  const { url } = await freshData(t, 'postgres');
  const name = new URL(url).pathname.slice(1);
  const role = `role_${randomUUID().replaceAll('-', '')}`;
  await administer(url, `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  t.teardown(async () => {
    await administer(url, `DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  await administer(url, `GRANT ALL ON SCHEMA public TO ${role}`);
  const target = source === 'role' ? `ROLE ${role}` : `DATABASE ${name}`;
  await administer(url, hostile.map((setting) => `ALTER ${target} SET ${setting}`).join(';'));
  return dataAt(t, 'postgres', Object.assign(new URL(url), { username: role, password: 'secret' }).href);
}

for (const source of ['database', 'role'] as const) {
  test(`the guard keeps its contract on hostile default settings of the ${source}`, async (t) => {
    const data = await hostileData(t, source);
    const server = await data.open();
    const { store, database, ping } = server;
    await ping();
    await useStore(t, server, await data.open());
    await database.migrate('notes', ['CREATE TABLE notes (number DOUBLE PRECISION, text TEXT)']);

    // Numbers and texts arrive as they were written, in a transaction and on their own.
    const [number, text] = [0.1 + 0.2, "ä € \\ ' 🙂"];
    const insert = 'INSERT INTO notes VALUES ($1, $2)';
    const write = request({ atomicity: 'TRANSACTION' });
    const writing = claimed(t, await store.claim(write));
    await writing.run(() => database.query(insert, [number, text]));
    await writing.complete(reply('written'));
    const select = 'SELECT number, text FROM notes';
    t.deepEqual<object[], object[]>(await database.query(select), [{ number, text }]);
    await database.transaction(async () => {
      t.deepEqual<object[], object[]>(await database.query(select), [{ number, text }]);
    });

    t.is(await store.countLive('tenant', 100), 8);
    t.is((await store.erase('tenant', 100)).erased, 8);
    const expired = request({ retentionMs: 1 });
    await claimed(t, await store.claim(expired)).release();
    await claimed(t, await store.claim(expired)).complete(reply('expired'));
    await poll('the record has expired', async () => (await store.purge(100)).purged === 1);
  });

  test(`messages and events keep their contract on hostile default settings of the ${source}`, async (t) => {
    const data = await hostileData(t, source);
    await useOutboxAndConsumer(t, await openOutbox(data));
  });
}

test('keys, events and messages stay in the schema that was found at the start', async (t) => {
  // A cluster has its tables in one schema.
  if (await isCitus()) return t.pass();
  const { url } = await freshData(t, 'postgres');
  const name = new URL(url).pathname.slice(1);
  const setPath = (path: string) => administer(url, `ALTER DATABASE ${name} SET search_path = ${path}`);
  const open = async (path: string) => {
    await administer(url, `CREATE SCHEMA IF NOT EXISTS ${path}`);
    await setPath(path);
    const opened = await dataAt(t, 'postgres', url).open({ maxConnections: 1 });
    await migrateOutbox(opened.database);
    await (await createConsumer({ database: opened.database })).close();
    return opened;
  };
  await open('other');
  const { store, database } = await open('"the Shop"');
  const message = { consumer: 'receiver', scope: 'queue', messageId: 'm' };
  await processOnce(database, message, async () => {});
  const operations = [
    ...(['TRANSACTION', 'LEASE'] as const).map((atomicity) => request({ atomicity })),
    request(series(0n)),
  ];
  for (const operation of operations) {
    const claim = claimed(t, await store.claim(operation));
    // The work may set the search path of its transaction.
    await claim.run(() => database.query("SELECT set_config('search_path', 'other', true)"));
    await claim.complete(reply('done'));
  }
  const replayAll = async () => {
    for (const operation of operations) completed(t, await store.claim(operation));
    t.is((await processOnce(database, message, async () => t.fail())).outcome, 'duplicate');
    t.is(await store.countLive('tenant', 10), 3);
    t.true((await store.estimateRecords()) >= 0);
  };
  // The application has set the search path of its connection.
  await database.query("SELECT set_config('search_path', 'other', false)");
  await replayAll();

  // A new connection has the search path that an administrator has set meanwhile.
  await setPath('other');
  await administer(
    url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`,
  );
  await poll('the server has a new connection', () =>
    database
      .query('SELECT 1 AS one')
      .then(() => true)
      .catch(() => false),
  );
  await replayAll();
  t.deepEqual(await administer(url, 'SELECT count(*) AS kept FROM other.replay_guard_records'), [
    { kept: '0' },
  ]);
});
