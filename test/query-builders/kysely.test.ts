import { status } from '@grpc/grpc-js';
import test from 'ava';
import { executionSignal } from 'grpc-replay-guard';
import { type Database, UnitOfWorkError } from 'grpc-replay-guard/database';
import { createKyselyDialect } from 'grpc-replay-guard/kysely';
import { Kysely, Migrator, sql } from 'kysely';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';

interface Tables {
  notes: { id: number; text: string | null; amount: bigint | number | string | null };
}

const dataOf = emptiedData(test);
const raw = { any: true } as const;

for (const engine of engines) {
  const open = async (t: Cleanup) => {
    const data = await dataOf(t, engine);
    const { database } = await data.open();
    await database.migrate('notes', [
      'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, amount BIGINT)',
    ]);
    const db = new Kysely<Tables>({ dialect: createKyselyDialect(database) });
    const { database: other } = await data.open();
    return { data, database, db, written: () => idsOf(other) };
  };
  const idsOf = async (database: Database) =>
    (await database.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
  const insert = (db: Kysely<Tables>, id: number) =>
    db.insertInto('notes').values({ id, text: null, amount: null }).execute();

  test.serial(`${engine}: a controlled transaction has savepoints, and commits`, async (t) => {
    const { db, written } = await open(t);
    const transaction = await db.startTransaction().execute();
    await insert(transaction, 1);
    const first = await transaction.savepoint('first').execute();
    await insert(first, 2);
    const second = await first.savepoint('second').execute();
    await insert(second, 3);
    await t.throwsAsync(insert(second, 1), raw);
    await second.rollbackToSavepoint('second').execute();
    await insert(second, 4);
    await second.releaseSavepoint('second').execute();
    t.deepEqual(await written(), [], 'nothing is committed yet');
    await first.rollbackToSavepoint('first').execute();
    await insert(first, 5);
    await transaction.commit().execute();
    t.deepEqual(await written(), [1, 5]);
    await t.throwsAsync(insert(transaction, 6), raw);
  });

  test.serial(`${engine}: a connection that is used after its end is refused`, async (t) => {
    const { db, database, written } = await open(t);
    const leaked = await db.connection().execute(async (own) => own);
    for (const use of [() => insert(leaked, 1), () => database.transaction(() => insert(leaked, 2))])
      await t.throwsAsync(use, { instanceOf: UnitOfWorkError, message: /was released/ });
    t.deepEqual(await written(), []);
  });

  test.serial(`${engine}: a controlled transaction rolls back, also after a failed statement`, async (t) => {
    const { db, written } = await open(t);
    const transaction = await db.startTransaction().execute();
    await insert(transaction, 1);
    await t.throwsAsync(insert(transaction, 1), raw);
    await t.throwsAsync(insert(transaction, 2), { instanceOf: UnitOfWorkError });
    await t.throwsAsync(transaction.commit().execute(), { instanceOf: UnitOfWorkError });
    await transaction.rollback().execute();
    t.deepEqual(await written(), []);
    await insert(db, 3);
    t.deepEqual(await written(), [3]);
  });

  test.serial(
    `${engine}: a controlled transaction that stays open does not commit with its call`,
    async (t) => {
      const data = await dataOf(t, engine);
      const opened = await data.open({ unitLimitMs: 300 });
      await opened.database.migrate('notes', [
        'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, amount BIGINT)',
      ]);
      const db = new Kysely<Tables>({ dialect: createKyselyDialect(opened.database) });
      const ledger = await openLedger(t, data, {
        opened,
        handlers: () =>
          onBoth(async (_account, callback) => {
            await insert(db, 1);
            await insert(await db.startTransaction().execute(), 2);
            callback(null, {});
          }),
      });
      const reply = await ledger.append('open');
      assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
      t.deepEqual(await idsOf(opened.database), []);
    },
  );

  test.serial(
    `${engine}: other isolation levels and access modes are refused, and READ COMMITTED is accepted`,
    async (t) => {
      const { db, written } = await open(t);
      for (const level of ['serializable', 'repeatable read'] as const) {
        const transaction = db.transaction().setIsolationLevel(level);
        await t.throwsAsync(
          transaction.execute((inner) => insert(inner, 1)),
          { instanceOf: TypeError, message: /READ COMMITTED/ },
        );
      }
      await t.throwsAsync(
        db
          .transaction()
          .setAccessMode('read only')
          .execute(async () => {}),
        { instanceOf: TypeError },
      );
      const committed = db.transaction().setIsolationLevel('read committed').setAccessMode('read write');
      await committed.execute((inner) => insert(inner, 2));
      t.deepEqual(await written(), [2]);
    },
  );

  test.serial(`${engine}: the work of a transaction is in the context of its call`, async (t) => {
    const data = await dataOf(t, engine);
    const opened = await data.open();
    const db = new Kysely<Tables>({ dialect: createKyselyDialect(opened.database) });
    const seen: boolean[] = [];
    const ledger = await openLedger(t, data, {
      opened,
      handlers: () =>
        onBoth(async (_account, callback) => {
          await db.transaction().execute(async () => {
            seen.push(executionSignal() !== undefined);
            opened.database.afterCommit(() => seen.push(true));
          });
          seen.push(executionSignal() !== undefined);
          await opened.database.query('SELECT 1');
          callback(null, {});
        }),
    });
    t.is((await ledger.append('key')).code, 0);
    t.deepEqual(seen, [true, true, true]);
  });

  test.serial(
    `${engine}: the function that began a transaction on a connection of its own continues outside of the transaction`,
    async (t) => {
      const { db, database, written } = await open(t);
      const plain = (id: number) => database.query('INSERT INTO notes (id) VALUES ($1)', [id]);
      await db.connection().execute(async (own) => {
        // Kysely calls the driver before this function waits for the first time.
        await own.transaction().execute(async (inner) => {
          await insert(inner, 1);
          await plain(2);
        });
        await plain(3);
        const failing = own.transaction().execute(async () => {
          await plain(4);
          throw new Error('rolled back');
        });
        await t.throwsAsync(failing, { message: 'rolled back' });
        await plain(5);
        t.throws(() => database.afterCommit(() => {}), { instanceOf: UnitOfWorkError });
      });
      t.deepEqual(await written(), [1, 2, 3, 5]);
    },
  );

  test.serial(`${engine}: parseBigInt reads BIGINT columns on both engines`, async (t) => {
    const { database, db } = await open(t);
    const amount = 2n ** 53n + 1n;
    await db.insertInto('notes').values({ id: 1, text: 'a', amount }).execute();
    const read = (own: Kysely<Tables>) => own.selectFrom('notes').select(['id', 'amount']).execute();
    t.deepEqual(await read(db), [{ id: 1, amount: `${amount}` }]);
    const exact = new Kysely<Tables>({ dialect: createKyselyDialect(database, { parseBigInt: BigInt }) });
    t.deepEqual(await read(exact), [{ id: 1, amount }]);
  });

  test.serial(`${engine}: migrations and introspection of Kysely run through the handle`, async (t) => {
    const { database, db } = await open(t);
    const migrator = new Migrator({
      db,
      provider: {
        getMigrations: async () => ({
          first: { up: (own) => own.schema.createTable('made').addColumn('id', 'integer').execute() },
        }),
      },
    });
    const { error, results } = await migrator.migrateToLatest();
    t.is(error, undefined);
    t.deepEqual(
      results?.map((result) => result.status),
      ['Success'],
    );
    const tables = await db.introspection.getTables();
    t.true(tables.some(({ name }) => name === 'made'));
    await db.destroy();
    t.deepEqual(await database.query('SELECT id FROM made'), [], 'the handle stays open');
  });
}

test.serial('sqlite: an insert has the row id, and names with quotes are no parameters', async (t) => {
  const { database } = await (await dataOf(t, 'sqlite')).open();
  await database.migrate('notes', ['CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, amount BIGINT)']);
  const db = new Kysely<Tables>({ dialect: createKyselyDialect(database) });
  const { insertId } = await db
    .insertInto('notes')
    .values({ id: 7, text: '$1', amount: null })
    .executeTakeFirstOrThrow();
  t.is(insertId, 7n);
  const { rows } = await sql`SELECT id AS "it's $1" FROM notes WHERE text = ${'$1'}`.execute(db);
  t.deepEqual(rows, [{ "it's $1": 7 }]);
});

test.serial('sqlite: Kysely does not wait for a connection that is in use', async (t) => {
  const { database } = await (await dataOf(t, 'sqlite')).open();
  // Kysely reads this member from version 0.29 on.
  t.true(Reflect.get(createKyselyDialect(database).createAdapter(), 'supportsMultipleConnections'));
});

test('a value that is not a handle, and an unknown option, are refused', async (t) => {
  const wrong: unknown[] = [undefined, {}, { query: async () => [] }];
  for (const value of wrong)
    t.throws(() => createKyselyDialect(value as Database), { instanceOf: TypeError, message: /openSqlite/ });
  const { database } = await (await dataOf(t, 'sqlite')).open();
  t.throws(() => createKyselyDialect(database, { bigint: BigInt } as never), {
    message: /unknown option bigint/,
  });
});
