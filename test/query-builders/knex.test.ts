import test from 'ava';
import { createKnexClient } from 'grpc-replay-guard/knex';
import knexOf from 'knex';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';

const dataOf = emptiedData(test);
const raw = { any: true } as const;

for (const engine of engines) {
  const open = async (t: Cleanup) => {
    const data = await dataOf(t, engine);
    const { database } = await data.open();
    const knex = knexOf({ client: createKnexClient(database), useNullAsDefault: true });
    await knex.schema.createTable('notes', (table) => {
      table.integer('id').primary();
      table.text('text');
      table.bigInteger('amount');
      table.boolean('done');
      table.timestamp('at');
      table.json('document');
    });
    const { database: other } = await data.open();
    const written = async () =>
      (await other.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
    return { database, knex, written };
  };

  test.serial(
    `${engine}: a transaction without a work function commits and rolls back by its methods`,
    async (t) => {
      const { knex, written } = await open(t);
      const first = await knex.transaction();
      await first('notes').insert({ id: 1 });
      const nested = await first.transaction();
      await nested('notes').insert({ id: 2 });
      await nested.rollback();
      await first('notes').insert({ id: 3 });
      t.deepEqual(await written(), []);
      await first.commit();
      t.deepEqual(await written(), [1, 3]);
      const second = await knex.transaction();
      await second('notes').insert({ id: 4 });
      await second.rollback();
      await t.throwsAsync(async () => second('notes').insert({ id: 5 }), raw);
      t.deepEqual(await written(), [1, 3]);
    },
  );

  test.serial(
    `${engine}: a transaction that rolls itself back rejects, and the next transaction commits`,
    async (t) => {
      const { knex, database, written } = await open(t);
      await database.transaction(async () => {
        const failing = knex.transaction(async (inner) => {
          await inner('notes').insert({ id: 1 });
          await inner.rollback(new Error('by hand'));
        });
        await t.throwsAsync(failing, { message: 'by hand' });
        await knex.transaction((inner) => inner('notes').insert({ id: 2 }));
        await knex('notes').insert({ id: 3 });
      });
      t.deepEqual(await written(), [2, 3]);
    },
  );

  test.serial(`${engine}: other isolation levels are refused, and READ COMMITTED is accepted`, async (t) => {
    const { knex, written } = await open(t);
    const work = (id: number) => (inner: knexOf.Knex) => inner('notes').insert({ id });
    const serializable = knex.transaction(work(1), { isolationLevel: 'serializable' });
    await t.throwsAsync(serializable, { instanceOf: TypeError, message: /READ COMMITTED/ });
    await t.throwsAsync(knex.transaction(work(1), { readOnly: true }), { instanceOf: TypeError });
    await knex.transaction(work(2), { isolationLevel: 'read committed' });
    t.deepEqual(await written(), [2]);
  });

  test.serial(`${engine}: rows have values of the declared types`, async (t) => {
    const { knex } = await open(t);
    const row = {
      id: 1,
      text: 'a',
      amount: '9007199254740993',
      done: true,
      at: new Date(1e12),
      document: { a: [1] },
    };
    await knex('notes').insert({ ...row, document: JSON.stringify(row.document) });
    t.deepEqual(await knex('notes').select('*'), [row]);
    t.deepEqual(await knex('notes').where('at', '<', new Date(2e12)).pluck('id'), [1]);
    t.deepEqual(await knex('notes').where({ done: true }).first('text'), { text: 'a' });
  });

  test.serial(`${engine}: question marks in quotes and comments are not bindings`, async (t) => {
    const { knex } = await open(t);
    const rowsOf = (result: { rows?: unknown }) => result.rows ?? result;
    const literal = await knex.raw(`SELECT '?' AS a, 'it''s ?' AS "c?" /* ? */ -- ?`);
    t.deepEqual(rowsOf(literal), [{ a: '?', 'c?': "it's ?" }]);
    const bound = await knex.raw(`SELECT '\\?' AS a, ? AS b`, ['x']);
    t.deepEqual(rowsOf(bound), [{ a: '?', b: 'x' }]);
  });

  test.serial(`${engine}: the message of an error has the statement without its values`, async (t) => {
    const { knex } = await open(t);
    await knex('notes').insert({ id: 1 });
    const error = await t.throwsAsync(async () => knex('notes').insert({ id: 1, text: 'secret' }), raw);
    const { message } = error as Error;
    t.false(message.includes('secret'));
    t.regex(message, /insert into/);
  });

  test.serial(
    `${engine}: destroy leaves the handle open, and the cancellation of a statement is refused`,
    async (t) => {
      const { knex, database, written } = await open(t);
      t.throws(() => knex('notes').timeout(1_000, { cancel: true }), { message: /cancelling not supported/ });
      await knex.destroy();
      await database.query('INSERT INTO notes (id) VALUES (1)');
      t.deepEqual(await written(), [1]);
    },
  );
}

test.serial(
  'sqlite: an insert returns the row id, and a Date is stored as a number of milliseconds',
  async (t) => {
    const { database } = await (await dataOf(t, 'sqlite')).open();
    const knex = knexOf({
      client: createKnexClient(database, { parseBigInt: Number }),
      useNullAsDefault: true,
    });
    await database.query('CREATE TABLE notes (id INTEGER PRIMARY KEY, at DATETIME, amount BIGINT)');
    t.deepEqual(await knex('notes').insert({ id: 7, at: new Date(1e12), amount: 5 }), [7]);
    t.deepEqual(await database.query('SELECT at FROM notes'), [{ at: 1_000_000_000_000n }]);
    t.deepEqual(await knex('notes').first(), { id: 7, at: new Date(1e12), amount: 5 });
  },
);

test.serial('postgres: raw results have the form of pg', async (t) => {
  const { database } = await (await dataOf(t, 'postgres')).open();
  const knex = knexOf({ client: createKnexClient(database) });
  const { rows, rowCount, command, fields } = await knex.raw(
    'SELECT ?::int AS one, ARRAY[1, 2] AS list',
    [1],
  );
  t.deepEqual(rows, [{ one: 1, list: [1, 2] }]);
  t.deepEqual([rowCount, command, fields[0].name, fields[0].dataTypeID], [1, 'SELECT', 'one', 23]);
  const listed = await knex.raw('SELECT ?::text[] AS texts', [['a', null, 'b"\\'] as never]);
  t.deepEqual(listed.rows, [{ texts: ['a', null, 'b"\\'] }]);
});
