import test, { type ExecutionContext } from 'ava';
import { DatabaseUnavailableError, type SqlValue } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import pg, { type PoolConfig } from 'pg';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { freshData } from '../../helpers/databases/engines.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';

const insert = 'INSERT INTO notes (id) VALUES ($1)';
const all = 'SELECT * FROM notes ORDER BY id';
const unavailable = { instanceOf: DatabaseUnavailableError };

/** Opens a database on a pool of the test, whose connections go through a proxy. */
async function ownPool(t: ExecutionContext, max = 1) {
  const data = await freshData(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const pool = new pg.Pool({ connectionString: proxy.url, pipeline: true, max } as PoolConfig);
  pool.on('error', () => {});
  t.teardown(() => pool.end());
  const { database, store } = await openPostgres({ pool });
  await database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
  return { proxy, pool, database, store, operator: (await data.open()).database };
}

test('a statement that could not be prepared is prepared at its next use', async (t) => {
  const { database, operator } = await ownPool(t);
  await t.throwsAsync(database.query('SELECT id FROM later'), { message: /later/ });
  await operator.migrate('later', ['CREATE TABLE later (id BIGINT)']);
  t.deepEqual(await database.query('SELECT id FROM later'), []);
});

test('a statement that the server skipped is prepared at its next use', async (t) => {
  const { database, pool } = await ownPool(t);
  const skipped = database.transaction(async () => {
    const sent = [database.query('SELECT nothing FROM nowhere'), database.query('SELECT 2 AS two')];
    for (const { status } of await Promise.allSettled(sent)) t.is(status, 'rejected');
  });
  await t.throwsAsync(skipped);
  t.deepEqual(await database.query('SELECT 2 AS two'), [{ two: 2n }]);
  t.is(pool.totalCount, 1);
});

test('a statement that failed when it was executed stays prepared', async (t) => {
  const { database, proxy } = await ownPool(t);
  for (const _ of [1, 2])
    await t.throwsAsync(database.query('SELECT 1 / $1 AS none', [0]), { message: /zero/ });
  t.deepEqual(await database.query('SELECT 1 / $1 AS none', [1]), [{ none: 1n }]);
  t.is(proxy.connections, 1);
});

for (const text of ['DISCARD ALL', 'DEALLOCATE ALL']) {
  test(`${text} by the application costs no call`, async (t) => {
    const { database, store, pool } = await ownPool(t);
    const use = async (id: number) => {
      const operation = request({ atomicity: 'TRANSACTION' });
      const claim = claimed(t, await store.claim(operation));
      await claim.run(() => database.query(insert, [id]));
      await claim.complete(reply('done'));
      completed(t, await store.claim(operation));
      const lease = claimed(t, await store.claim(request()));
      await lease.run(() => database.query('SELECT 1 AS one'));
      await lease.release();
      await database.query(insert, [id + 1]);
      await database.transaction(() => database.query(insert, [id + 2]));
    };
    await use(10);
    for (const id of [20, 30]) {
      await pool.query(text);
      await use(id);
    }
    t.is((await database.query(all)).length, 9);
    t.is(pool.totalCount, 1);
  });
}

// A test beside this one could make the connection prepare its statements again.
test.serial('statements that the server drops during a transaction cost one call', async (t) => {
  const { database, store } = await ownPool(t);
  await database.query(insert, [0]);
  const claim = claimed(t, await store.claim(request({ atomicity: 'TRANSACTION' })));
  await claim.run(() => database.query('DEALLOCATE ALL'));
  await t.throwsAsync(
    claim.run(() => database.query(insert, [1])),
    unavailable,
  );
  await claim.release();
  await database.transaction(() => database.query(insert, [2]));
  t.deepEqual(await database.query(all), [{ id: 0n }, { id: 2n }]);
});

test.serial('statements that the server drops after a schema change cost no call', async (t) => {
  const { database, pool, operator } = await ownPool(t);
  await operator.query(all);
  await database.transaction(async () => {
    await database.query('ALTER TABLE notes ADD COLUMN text TEXT');
  });
  await database.transaction(async () => {
    await database.query('SELECT 1 AS one');
    // Every connection prepares its statements again. This connection has already begun its transaction.
    t.deepEqual(await operator.query(all), []);
    await database.query(insert, [1]);
  });
  await pool.query('DISCARD ALL');
  await database.transaction(() => database.query(insert, [2]));
  t.is((await database.query(all)).length, 2);
});

test('a column that is added under a running server appears in the next result', async (t) => {
  const { database, operator } = await ownPool(t);
  await database.query(insert, [1]);
  t.deepEqual(await database.query(all), [{ id: 1n }]);
  await operator.query('ALTER TABLE notes ADD COLUMN text TEXT');
  t.deepEqual(await database.query(all), [{ id: 1n, text: null }]);
  await operator.query('ALTER TABLE notes DROP COLUMN text');
  t.deepEqual(await database.query(all), [{ id: 1n }]);
});

test.serial(
  'a change of a type under a running server costs one call, not one call for each connection',
  async (t) => {
    const { database, operator, pool } = await ownPool(t, 4);
    const reads = () =>
      database.transaction(async () => {
        await database.query('SELECT 1 AS one');
        return database.query(all);
      });
    await Promise.all([reads(), reads(), reads(), reads()]);
    t.is(pool.totalCount, 4);
    await operator.query('ALTER TABLE notes ALTER COLUMN id TYPE TEXT');
    await t.throwsAsync(reads(), unavailable);
    await operator.query("INSERT INTO notes VALUES ('1')");
    for (const rows of await Promise.all([reads(), reads(), reads(), reads()]))
      t.deepEqual(rows, [{ id: '1' }]);
    t.is(pool.totalCount, 4);
  },
);

test('a claim whose plan is outdated is prepared again and granted', async (t) => {
  const { database, store, operator } = await ownPool(t);
  const done = request({ atomicity: 'TRANSACTION' });
  await claimed(t, await store.claim(done)).complete(reply('done'));
  completed(t, await store.claim(done));
  await operator.query('ALTER TABLE replay_guard_records ALTER COLUMN state TYPE INTEGER');
  completed(t, await store.claim(done));
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    const claim = claimed(t, await store.claim(request({ atomicity })));
    await claim.run(() => database.query(insert, [atomicity.length]));
    await claim.complete(reply('done'));
  }
  t.is((await database.query(all)).length, 2);
});

test('rows have the same values when their statement is prepared and later', async (t) => {
  const { database } = await ownPool(t);
  const text = `SELECT $1::smallint AS small, $2::bigint AS big, $3::bytea AS bytes, $4::text AS text,
    $5::double precision AS float, true AS yes, NULL::integer AS none, 1 AS twice, 2 AS twice`;
  const params = [-1, 2n ** 60n, Buffer.from([0, 255]), 'ä\u{1F600}', 0.1];
  const expected = {
    ...{ small: -1n, big: 2n ** 60n, bytes: Buffer.from([0, 255]), text: 'ä\u{1F600}' },
    ...{ float: 0.1, yes: true, none: null, twice: 2n },
  };
  for (const _ of [1, 2, 3]) t.deepEqual(await database.query<object>(text, params), [expected]);
});

test('parameters of every size arrive', async (t) => {
  const { database } = await ownPool(t);
  const text = 'SELECT octet_length($1::bytea) AS bytes, octet_length($2::text) AS text';
  for (const size of [0, 1, 16_383, 16_384, 3_000_000, 5]) {
    const rows = await database.query(text, [Buffer.alloc(size, 1), 'ö'.repeat(size)]);
    t.deepEqual(rows, [{ bytes: BigInt(size), text: BigInt(2 * size) }]);
  }
});

test('a statement may have 65,535 parameters', async (t) => {
  const { database } = await ownPool(t);
  const count = (length: number) => {
    const places = Array.from({ length }, (_, index) => `$${index + 1}`);
    return database.query(`SELECT concat(${places.join()}) AS all`, Array(length).fill('x'));
  };
  await t.throwsAsync(count(65_536), { instanceOf: RangeError });
  // A function has at most 100 arguments, so Postgres has read the parameters.
  t.like(await t.throwsAsync(count(65_535)), { code: '54023' });
});

test('a parameter of another type is refused before anything is sent', async (t) => {
  const { database, proxy } = await ownPool(t);
  await database.query(insert, [1]);
  proxy.reset();
  const wrong = [new Date(Number.NaN)] as unknown as SqlValue[];
  for (const value of [wrong[0], [1], {}, () => 1, Symbol('one')])
    await t.throwsAsync(database.query(insert, [value as SqlValue]), { instanceOf: TypeError });
  await t.throwsAsync(database.query('SELECT 1\0 AS one'), { instanceOf: TypeError, message: /NUL/ });
  t.deepEqual(proxy.statements, []);
  const failing = database.transaction(() => database.query(insert, wrong));
  await t.throwsAsync(failing, { instanceOf: TypeError });
  t.deepEqual(await database.query(all), [{ id: 1n }]);
});

test('COPY FROM STDIN is refused and leaves nothing behind', async (t) => {
  const { database } = await ownPool(t);
  await t.throwsAsync(database.query('COPY notes FROM STDIN'), { message: /COPY/ });
  t.deepEqual(await database.query(all), []);
});

test('a connection closes the statements that were not used lately', async (t) => {
  const { database } = await ownPool(t);
  for (let round = 0; round < 2; round++) {
    for (let id = 0; id < 700; id++) {
      t.deepEqual(await database.query(`SELECT ${id} AS id`), [{ id: BigInt(id) }]);
      if (id % 100 === 0) t.deepEqual(await database.query(all), []);
    }
    const [counted] = await database.query<{ kept: bigint }>(
      'SELECT count(*) AS kept FROM pg_prepared_statements',
    );
    t.true((counted?.kept ?? 0n) <= 500n, String(counted?.kept));
  }
});

test.serial('an error of a function with the code of an outdated plan is reported unchanged', async (t) => {
  const { database, operator, proxy } = await ownPool(t);
  await operator.migrate('function', [
    `CREATE FUNCTION unsupported() RETURNS BIGINT LANGUAGE plpgsql AS
       'BEGIN RAISE EXCEPTION ''on purpose'' USING ERRCODE = ''0A000''; END'`,
  ]);
  await t.throwsAsync(database.query('SELECT unsupported() AS one'), { message: 'on purpose' });
  await database.query('SELECT 1 AS one');
  proxy.reset();
  await t.throwsAsync(database.query('SELECT unsupported() AS one'), { message: 'on purpose' });
  await database.query('SELECT 1 AS one');
  // No statement is sent or prepared again.
  t.deepEqual(proxy.statements, ['SELECT unsupported() AS one', 'SELECT 1 AS one']);
});
