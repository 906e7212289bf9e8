import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import pg from 'pg';
import { appearsToRead } from '#library/database/postgres/reads.js';
import { claimed, reply, request } from '../../contracts/store/requests.js';
import { freshData } from '../../helpers/databases/engines.js';

// Serial: beside many new databases, a new connection can wait for a lock of Postgres for longer than its limit.

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
  test.serial(
    `LEASE: a notification ${what} before the first write belongs to the unit of work`,
    async (t) => {
      for (const ending of ['release', 'complete'] as const) {
        const { data, operator, claim, query } = await withLease(t);
        const notified = (await listen(t, data.url))();
        await query(text);
        await claim[ending](reply('done'));
        await operator.query("SELECT pg_notify('tests', 'later')");
        t.is(await notified, ending === 'release' ? 'later' : 'handler');
      }
    },
  );
}

for (const name of ['"other".count', 'other.count', 'public.préparé']) {
  test.serial(
    `LEASE: a notification that ${name} sends before the first write belongs to the unit of work`,
    async (t) => {
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
    },
  );
}

const sends = "SELECT pg_notify(''tests'', ''handler'')";
const functionOf = (name: string, parameter: string, body = `${sends}; SELECT 1`) =>
  `CREATE FUNCTION ${name}(${parameter}) RETURNS INTEGER LANGUAGE SQL AS '${body}'`;
/** A stable function may call a volatile function. */
const stable = (text: string) => text.replace('LANGUAGE SQL', 'LANGUAGE SQL STABLE');
const row = 'CREATE TABLE goods AS SELECT 1 AS id';

for (const [what, steps, text] of [
  [
    'a view',
    ["CREATE VIEW goods AS SELECT pg_notify('tests', 'handler')::text AS sent"],
    'SELECT count(*) FROM goods',
  ],
  [
    'a view in another schema',
    ['CREATE SCHEMA s', "CREATE VIEW s.goods AS SELECT pg_notify('tests', 'handler')::text AS sent"],
    'TABLE s.goods',
  ],
  [
    'a view with a quoted name',
    [`CREATE VIEW "My goods" AS SELECT pg_notify('tests', 'handler')::text AS sent`],
    'SELECT * FROM "My goods"',
  ],
  [
    'a view with an escaped name',
    [`CREATE VIEW goods AS SELECT pg_notify('tests', 'handler')::text AS sent`],
    String.raw`SELECT * FROM U&"g\006fods"`,
  ],
  [
    'a view with a name that Postgres shortens',
    [`CREATE VIEW ${'g'.repeat(63)} AS SELECT pg_notify('tests', 'handler')::text AS sent`],
    `SELECT * FROM ${'G'.repeat(70)}`,
  ],
  ['a column that is a function', [row, functionOf('amount', 'goods')], 'SELECT goods.amount FROM goods'],
  [
    'a column that is a stable function',
    [row, stable(functionOf('amount', 'goods'))],
    'SELECT goods.amount FROM goods',
  ],
  [
    'an operator with a stable function',
    [
      row,
      stable(functionOf('alike', 'integer, integer')),
      'CREATE OPERATOR ==== (FUNCTION = alike, LEFTARG = integer, RIGHTARG = integer)',
    ],
    'SELECT id ==== 1 FROM goods',
  ],
  [
    'a function of the application with a usual name',
    [row, functionOf('upper', 'goods')],
    'SELECT upper(goods) FROM goods',
  ],
  [
    'an operator',
    [
      row,
      functionOf('alike', 'integer, integer'),
      'CREATE OPERATOR ==== (FUNCTION = alike, LEFTARG = integer, RIGHTARG = integer)',
    ],
    'SELECT id ==== 1 FROM goods',
  ],
  [
    'a cast',
    [row, functionOf('as_number', 'goods'), 'CREATE CAST (goods AS integer) WITH FUNCTION as_number(goods)'],
    'SELECT CAST(goods AS integer) FROM goods',
  ],
  [
    'an aggregate',
    [
      row,
      functionOf('add', 'integer, goods'),
      "CREATE AGGREGATE sum(goods) (SFUNC = add, STYPE = integer, INITCOND = '0')",
    ],
    'SELECT sum(goods) FROM goods',
  ],
  [
    'a domain',
    [functionOf('valid', 'integer'), 'CREATE DOMAIN amount AS integer CHECK (valid(VALUE) = 1)'],
    'SELECT 1::amount',
  ],
] as const) {
  test.serial(
    `LEASE: a notification that ${what} sends before the first write belongs to the unit of work`,
    async (t) => {
      for (const ending of ['release', 'complete'] as const) {
        const { data, operator, claim, query } = await withLease(t);
        await operator.migrate('code', steps);
        const notified = (await listen(t, data.url))();
        await query(text);
        await claim[ending](reply('done'));
        await operator.query("SELECT pg_notify('tests', 'later')");
        t.is(await notified, ending === 'release' ? 'later' : 'handler');
      }
    },
  );
}

test.serial(
  'LEASE: a table that is replaced by a view under a running server is read in the unit of work',
  async (t) => {
    const { data, operator, claim, query } = await withLease(t);
    await operator.migrate('table', [row]);
    t.deepEqual(await query('SELECT count(*) AS goods FROM goods'), [{ goods: 1n }]);
    await operator.migrate('view', [
      'ALTER TABLE goods RENAME TO goods_table',
      "CREATE VIEW goods AS SELECT id FROM goods_table, pg_notify('tests', 'view')",
    ]);
    const notified = (await listen(t, data.url))();
    t.deepEqual(await query('SELECT count(*) AS goods FROM goods'), [{ goods: 1n }]);
    await claim.complete(reply('done'));
    await operator.query("SELECT pg_notify('tests', 'later')");
    t.is(await notified, 'view');
  },
);

test.serial('LEASE: a table with row security is not read outside of the unit of work', async (t) => {
  const { operator, claim, query } = await withLease(t);
  await operator.migrate('policy', [row, 'ALTER TABLE goods ENABLE ROW LEVEL SECURITY']);
  await query('SELECT count(*) FROM goods');
  const open =
    "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
  t.deepEqual(await operator.query(open), [{ one: 1n }]);
  await claim.release();
});

test.serial(
  'LEASE: a large object that is created before the first write belongs to the unit of work',
  async (t) => {
    for (const ending of ['release', 'complete'] as const) {
      const { operator, claim, query } = await withLease(t);
      await query('SELECT lo_create(0)');
      await claim[ending](reply('done'));
      const [counted] = await operator.query<{ objects: bigint }>(
        'SELECT count(*) AS objects FROM pg_largeobject_metadata',
      );
      t.is(counted?.objects, ending === 'release' ? 0n : 1n);
    }
  },
);

for (const text of [
  'SELECT count(*) AS effects FROM replay_guard_records',
  'SELECT coalesce(max(fence), 0) AS fence FROM replay_guard_records WHERE state IN (0, 1) AND (scope = 1 OR scope = 2)',
  'WITH kept AS (SELECT id FROM replay_guard_records) SELECT lower(substr(id::text, 1, 3)) FROM kept',
  'VALUES (1), (2)',
]) {
  test.serial(`LEASE: a query of known functions opens no transaction: ${text}`, async (t) => {
    const { operator, claim, query } = await withLease(t);
    await query(text);
    const open =
      "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    t.deepEqual(await operator.query(open), []);
    await claim.release();
  });
}

test.serial('a query of more than 10,000 characters does not run outside of the unit of work', (t) => {
  t.true(appearsToRead(`SELECT '${'a'.repeat(9_900)}' AS word, count(*)`));
  t.false(appearsToRead(`SELECT '${'a'.repeat(10_000)}' AS word, count(*)`));
});
