import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import pg from 'pg';
import { onlyReads } from '#library/database/postgres/reads.js';
import { claimed, reply, request } from '../../contracts/store/requests.js';
import { freshData } from '../../helpers/databases/engines.js';

/** Opens a database with a lease that has not written yet. */
async function withLease(t: ExecutionContext) {
  const data = await freshData(t, 'postgres');
  const { database, store } = await data.open();
  const operator = (await data.open()).database;
  const claim = claimed(t, await store.claim(request()));
  /** Runs a query of the handler, which is its first one. */
  const query = (text: string) => claim.run(() => database.query(text));
  return { data, operator, claim, query };
}

/** Listens on the channel of the tests. Resolves to the text of the next notification. */
async function listen(t: ExecutionContext, connectionString: string) {
  const client = new pg.Client({ connectionString });
  await client.connect();
  t.teardown(() => client.end());
  await client.query('LISTEN tests');
  return async (): Promise<string> => (await once(client, 'notification'))[0].payload;
}

for (const [what, text] of [
  ['that a query sends', "SELECT pg_notify('tests', 'handler')"],
  ['that a query sends behind a comment', "/* hint */ SELECT pg_notify('tests', 'handler')"],
  ['of a quoted function', `SELECT "pg_notify"('tests', 'handler')`],
  ['of a function before a comment', "SELECT pg_notify/* channel */('tests', 'handler')"],
  ['of a function before the comment of a line', "SELECT pg_notify -- as\n('tests', 'handler')"],
] as const) {
  test(`LEASE: a notification ${what} before the first write belongs to the unit of work`, async (t) => {
    for (const ending of ['release', 'complete'] as const) {
      const { data, operator, claim, query } = await withLease(t);
      const notified = (await listen(t, data.url))();
      await query(text);
      await claim[ending](reply('done'));
      await operator.query("SELECT pg_notify('tests', 'later')");
      t.is(await notified, ending === 'release' ? 'later' : 'handler');
    }
  });
}

for (const name of ['"other".count', 'other.count', 'public.préparé']) {
  test(`LEASE: a notification that ${name} sends before the first write belongs to the unit of work`, async (t) => {
    const { data, operator, claim, query } = await withLease(t);
    await operator.migrate('function', [
      'CREATE SCHEMA other',
      `CREATE FUNCTION ${name}() RETURNS TEXT LANGUAGE SQL AS 'SELECT pg_notify(''tests'', ''function'')::text'`,
    ]);
    const notified = (await listen(t, data.url))();
    await query(`SELECT ${name}() AS sent`);
    await claim.complete(reply('done'));
    await operator.query("SELECT pg_notify('tests', 'later')");
    t.is(await notified, 'function');
  });
}

test('LEASE: a notification that a view sends before the first write is not sent outside of the unit of work', async (t) => {
  const { data, operator, claim, query } = await withLease(t);
  await operator.migrate('view', ["CREATE VIEW noisy AS SELECT pg_notify('tests', 'view')::text AS sent"]);
  const notified = (await listen(t, data.url))();
  await query('SELECT * FROM noisy');
  await claim.release();
  await operator.query("SELECT pg_notify('tests', 'later')");
  t.is(await notified, 'later');
});

test('LEASE: a large object that is created before the first write belongs to the unit of work', async (t) => {
  for (const ending of ['release', 'complete'] as const) {
    const { operator, claim, query } = await withLease(t);
    await query('SELECT lo_create(0)');
    await claim[ending](reply('done'));
    const [counted] = await operator.query<{ objects: bigint }>(
      'SELECT count(*) AS objects FROM pg_largeobject_metadata',
    );
    t.is(counted?.objects, ending === 'release' ? 0n : 1n);
  }
});

for (const text of [
  'SELECT count(*) AS effects FROM replay_guard_records',
  'SELECT coalesce(max(fence), 0) AS fence FROM replay_guard_records WHERE state IN (0, 1) AND (scope = 1 OR scope = 2)',
  'WITH kept AS (SELECT id FROM replay_guard_records) SELECT lower(substr(id::text, 1, 3)) FROM kept',
  'VALUES (1), (2)',
]) {
  test(`LEASE: a query of known functions opens no transaction: ${text}`, async (t) => {
    const { operator, claim, query } = await withLease(t);
    await query(text);
    const open =
      "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    t.deepEqual(await operator.query(open), []);
    await claim.release();
  });
}

test('a long word in a query is read once', (t) => {
  // A search that starts again at each character would take hours.
  t.true(onlyReads(`SELECT '${'a'.repeat(4_000_000)}' AS word, count(*)`));
});
