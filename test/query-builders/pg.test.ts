import { AsyncLocalStorage } from 'node:async_hooks';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { UnitOfWorkError } from 'grpc-replay-guard/database';
import { createPgDriver, createPgPool, type PgClient, type PgResult } from 'grpc-replay-guard/pg';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { type Engine, engines } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';

const dataOf = emptiedData(test);
const raw = { any: true } as const;

async function open(t: Cleanup, engine: Engine) {
  const data = await dataOf(t, engine);
  const opened = await data.open({ maxConnections: 2 });
  await opened.database.migrate('notes', ['CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)']);
  const { database: other } = await data.open();
  const written = async () =>
    (await other.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
  return { data, opened, database: opened.database, pool: createPgPool(opened.database), written };
}

const insert = (id: number) => `INSERT INTO notes (id) VALUES (${id})`;

for (const engine of engines) {
  test.serial(`${engine}: a client that sends without waiting runs its statements in order`, async (t) => {
    const { pool, written } = await open(t, engine);
    const client = await pool.connect();
    const texts = [
      ...['BEGIN', insert(1), 'SAVEPOINT a', insert(2), 'SAVEPOINT b', insert(3)],
      ...['ROLLBACK TO a', insert(4), 'RELEASE a', insert(5), 'COMMIT', insert(6)],
      ...[
        'begin work;',
        insert(7),
        'ROLLBACK',
        '/* a */ START TRANSACTION READ WRITE',
        insert(8),
        'END -- end',
      ],
    ];
    const results = await Promise.all(texts.map((text) => client.query(text)));
    t.deepEqual(
      results.map(({ command }) => command).filter((command) => command !== 'INSERT'),
      [
        'BEGIN',
        'SAVEPOINT',
        'SAVEPOINT',
        'ROLLBACK',
        'RELEASE',
        'COMMIT',
        'BEGIN',
        'ROLLBACK',
        'BEGIN',
        'COMMIT',
      ],
    );
    client.release();
    t.deepEqual(await written(), [1, 4, 5, 6, 8]);
  });

  test.serial(`${engine}: statements after a BEGIN that failed write nothing`, async (t) => {
    const { pool, database, written } = await open(t, engine);
    await t.throwsAsync(
      database.transaction(async () => {
        await t.throwsAsync(pool.query('SELECT nothing'), raw);
        const client = await pool.connect();
        const sent = ['BEGIN', insert(1), 'SAVEPOINT a', insert(2), 'COMMIT'].map((text) =>
          client.query(text),
        );
        for (const each of await Promise.allSettled(sent)) t.is(each.status, 'rejected');
        await client.query('ROLLBACK');
        client.release();
      }),
      { instanceOf: UnitOfWorkError },
    );
    t.deepEqual(await written(), []);
  });

  test.serial(
    `${engine}: release() rolls back an open transaction, and misplaced transaction control is refused`,
    async (t) => {
      const { pool, database, written } = await open(t, engine);
      const client = await pool.connect();
      for (const text of [
        'COMMIT',
        'ROLLBACK',
        'SAVEPOINT a',
        'RELEASE a',
        'ROLLBACK TO a',
        "PREPARE TRANSACTION 'a'",
      ])
        await t.throwsAsync(client.query(text), raw, text);
      for (const text of ['BEGIN', 'ROLLBACK', 'COMMIT', 'SAVEPOINT a'])
        await t.throwsAsync(pool.query(text), { instanceOf: TypeError, message: /transaction\(\)/ }, text);
      await t.throwsAsync(client.query('BEGIN ISOLATION LEVEL SERIALIZABLE'), { message: /READ COMMITTED/ });
      await client.query('BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE');
      await client.query(insert(1));
      await t.throwsAsync(client.query('BEGIN'), { message: /already open/ });
      await t.throwsAsync(client.query('RELEASE b'), { message: /no savepoint b/ });
      client.release();
      await t.throwsAsync(client.query(insert(3)), { instanceOf: UnitOfWorkError, message: /was released/ });
      await database.query(insert(2));
      t.deepEqual(await written(), [2]);
    },
  );

  test.serial(`${engine}: SET TRANSACTION accepts the modes that a transaction has`, async (t) => {
    const { pool, written } = await open(t, engine);
    const client = await pool.connect();
    const accepted = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE';
    for (const queryable of [pool, client])
      await t.throwsAsync(queryable.query(accepted), { message: /refuses SET/ }, 'no transaction is open');
    await client.query('BEGIN');
    t.is((await client.query(accepted)).command, 'SET');
    await t.throwsAsync(client.query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE'), {
      message: /READ COMMITTED/,
    });
    await client.query(insert(1));
    await client.query('COMMIT');
    client.release();
    t.deepEqual(await written(), [1]);
  });

  test.serial(`${engine}: a failed savepoint rolls back, and the transaction goes on`, async (t) => {
    const { pool, written } = await open(t, engine);
    const client = await pool.connect();
    for (const text of ['BEGIN', insert(1), 'SAVEPOINT "A"', insert(2)]) await client.query(text);
    await t.throwsAsync(client.query(insert(1)), raw);
    await t.throwsAsync(client.query(insert(3)), { instanceOf: UnitOfWorkError });
    await t.throwsAsync(client.query('ROLLBACK TO a'), { message: /no savepoint a/ });
    for (const text of ['ROLLBACK TO SAVEPOINT "A"', insert(4), 'COMMIT']) await client.query(text);
    client.release();
    t.deepEqual(await written(), [1, 4]);
  });

  test.serial(
    `${engine}: after a failed statement, ROLLBACK TO a savepoint makes the transaction usable again`,
    async (t) => {
      const { pool, written } = await open(t, engine);
      const client = await pool.connect();
      for (const text of ['BEGIN', insert(1), 'SAVEPOINT "A"', insert(2)]) await client.query(text);
      await t.throwsAsync(client.query(insert(1)), raw);
      await t.throwsAsync(client.query(insert(3)), { instanceOf: UnitOfWorkError });
      await t.throwsAsync(client.query('ROLLBACK TO a'), { message: /no savepoint a/ });
      for (const text of ['ROLLBACK TO SAVEPOINT "A"', insert(4), 'COMMIT']) await client.query(text);
      client.release();
      t.deepEqual(await written(), [1, 4]);
    },
  );

  test.serial(
    `${engine}: a transaction that a call leaves open on a client is rolled back with the call`,
    async (t) => {
      const { data, database } = await open(t, engine);
      const opened = await data.open({ unitLimitMs: 300 });
      const pool = createPgPool(opened.database);
      const ledger = await openLedger(t, data, {
        opened,
        handlers: () =>
          onBoth(async (_account, callback) => {
            const client = await pool.connect();
            await client.query(insert(1));
            await client.query('BEGIN');
            await client.query(insert(2));
            callback(null, {});
          }),
      });
      assertRefused(t, await ledger.append('key'), status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
      t.deepEqual(await database.query('SELECT id FROM notes'), []);
    },
  );

  test.serial(`${engine}: callbacks get results and errors, in the context of their caller`, async (t) => {
    const { pool } = await open(t, engine);
    const context = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const result = await context.run(
      'caller',
      () =>
        new Promise<PgResult | undefined>((resolve, reject) => {
          pool.connect((_error, client, release) => {
            client.query('SELECT $1 AS one', ['a'], (error, found) => {
              seen.push(context.getStore());
              release();
              if (error) reject(error);
              else resolve(found);
            });
          });
        }),
    );
    t.deepEqual([seen, result?.rows, result?.rowCount], [['caller'], [{ one: 'a' }], 1]);
    const failure = await new Promise((resolve) => pool.query('SELECT nothing', (error) => resolve(error)));
    t.truthy(failure);
    await new Promise<void>((resolve) => pool.end(resolve));
  });

  test.serial(`${engine}: a library that makes its pool itself gets this pool`, async (t) => {
    const { pool, written } = await open(t, engine);
    const { Pool } = createPgDriver(pool);
    const own = new Pool();
    t.is(own, pool);
    const client = await new Promise<PgClient>((resolve, reject) => {
      own.connect((error, connected) => (error ? reject(error) : resolve(connected)));
    });
    client.on('error', () => {});
    for (const text of ['START TRANSACTION', insert(1), 'SAVEPOINT typeorm_1', insert(2)])
      await client.query(text);
    for (const text of ['ROLLBACK TO SAVEPOINT typeorm_1', 'SAVEPOINT typeorm_1', insert(3)])
      await client.query(text);
    await client.query('RELEASE SAVEPOINT typeorm_1');
    await client.query('COMMIT');
    client.release();
    t.deepEqual(await written(), [1, 3]);
  });

  test.serial(`${engine}: a query may be an object, and members without support are refused`, async (t) => {
    const { pool } = await open(t, engine);
    await pool.query({ text: 'INSERT INTO notes (id, text) VALUES ($1, $2)', values: [1, 'a'], name: 'add' });
    const listed = await pool.query({ text: 'SELECT id, text, id AS id FROM notes', rowMode: 'array' });
    t.deepEqual(listed.rows as unknown, [[1, 'a', 1]]);
    t.deepEqual(
      listed.fields.map(({ name }) => name),
      ['id', 'text', 'id'],
    );
    t.is((await pool.query('CREATE TABLE made (id INTEGER)')).rowCount, null);
    const wrong: unknown[] = [
      { text: 'SELECT 1', query_timeout: 5 },
      { text: 'SELECT 1', binary: true },
      {},
      null,
      5,
    ];
    for (const query of wrong) await t.throwsAsync(pool.query(query as never), { instanceOf: TypeError });
  });
}

test.serial('postgres: a query may have type parsers of its own, and lists are sent as arrays', async (t) => {
  const { pool } = await open(t, 'postgres');
  const types = { getTypeParser: (type: number) => (text: string) => `${type}:${text}` };
  const { rows } = await pool.query({ text: 'SELECT 1 AS one, NULL AS none, TRUE AS yes', types });
  t.deepEqual(rows, [{ one: '23:1', none: null, yes: '16:t' }]);
  const lists = await pool.query('SELECT $1::int[] AS numbers, $2::jsonb AS json, $3::bytea[] AS bytes', [
    [1, null, [2].length],
    { toPostgres: () => ({ a: 1 }) },
    [Buffer.from([0, 255])],
  ]);
  t.deepEqual(lists.rows, [{ numbers: [1, null, 1], json: { a: 1 }, bytes: [Buffer.from([0, 255])] }]);
  const day = new Date(2026, 6, 1, 12, 30);
  const dates = await pool.query('SELECT $1::timestamp[] AS local, $1::timestamptz[] AS at', [[day]]);
  t.deepEqual(dates.rows, [{ local: [day], at: [day] }]);
  const empty = await pool.query('SELECT $1::int[] AS empty', [new Array(2)]);
  t.deepEqual(empty.rows, [{ empty: [null, null] }]);
  const texts = await pool.query<{ text: string }>('SELECT $1::text AS text', [day]);
  t.deepEqual(new Date(String(texts.rows[0]?.text)), day, 'JavaScript reads the text of a date');
  const { pool: sqlite } = await open(t, 'sqlite');
  await t.throwsAsync(sqlite.query({ text: 'SELECT 1', types }), { instanceOf: TypeError });
});
