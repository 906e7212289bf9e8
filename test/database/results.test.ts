import { join } from 'node:path';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import {
  CommitInDoubtError,
  type Database,
  DatabaseUnavailableError,
  type SqlValue,
  UnitOfWorkError,
} from 'grpc-replay-guard/database';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { type Engine, engines, freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { sharedData } from '../helpers/databases/shared-data.js';

const dataOf = sharedData(test);
let tables = 0;

/** Creates a table of its own with a column of each type. */
async function open(t: Cleanup, engine: Engine): Promise<{ database: Database; table: string }> {
  const { database } = await (await dataOf(t, engine)).open({ unitLimitMs: 60_000, lockTimeoutMs: 20_000 });
  const table = `typed_${++tables}`;
  await database.migrate(table, [
    `CREATE TABLE ${table} (id BIGINT PRIMARY KEY, text TEXT, bytes BYTEA, rate DOUBLE PRECISION, flag BOOLEAN,
     at TIMESTAMPTZ, document JSON)`,
  ]);
  return { database, table };
}

const raw = { any: true } as const;

for (const engine of engines) {
  test(`${engine}: execute counts the rows that a statement has written`, async (t) => {
    const { database, table } = await open(t, engine);
    const insert = `INSERT INTO ${table} (id, text) VALUES ($1, 'a'), ($2, 'b')`;
    const of = async (sql: string, params: SqlValue[] = []) => {
      const { affectedRows, command, rows } = await database.execute(sql, params);
      return [command, affectedRows, rows.length];
    };
    t.deepEqual(await of(insert, [1, 2]), ['INSERT', 2, 0]);
    t.deepEqual(await of(`${insert} ON CONFLICT DO NOTHING`, [2, 3]), ['INSERT', 1, 0]);
    t.deepEqual(await of(`${insert} RETURNING id`, [4, 5]), ['INSERT', 2, 2]);
    t.deepEqual(await of(`UPDATE ${table} SET text = 'c' WHERE id > $1`, [3]), ['UPDATE', 2, 0]);
    t.deepEqual(await of(`UPDATE ${table} SET text = 'c' WHERE id > $1`, [9]), ['UPDATE', 0, 0]);
    t.deepEqual(await of(`WITH old AS (SELECT 1) DELETE FROM ${table} WHERE id = 1`), ['DELETE', 1, 0]);
    t.deepEqual(await of(`DELETE FROM ${table} WHERE id < 4 RETURNING *`), ['DELETE', 2, 2]);
    t.deepEqual(await of(`SELECT id FROM ${table}`), ['SELECT', 0, 2]);
    t.deepEqual(await of(`WITH few AS (SELECT id FROM ${table}) SELECT * FROM few`), ['SELECT', 0, 2]);
    t.deepEqual(await of('VALUES (1), (2)'), ['SELECT', 0, 2]);
    t.deepEqual(await of(`DROP TABLE ${table}`), ['DROP', 0, 0]);
  });

  test(`${engine}: execute counts inside a unit of work, and in its nested transactions`, async (t) => {
    const { database, table } = await open(t, engine);
    const insert = (id: number) => database.execute(`INSERT INTO ${table} (id) VALUES ($1)`, [id]);
    const counts = await database.transaction(async () => {
      const first = await insert(1);
      const nested = database.transaction(() => insert(2));
      // The statement waits for the nested transaction.
      const [inner, beside] = await Promise.all([nested, database.execute(`UPDATE ${table} SET text = 'a'`)]);
      return [first.affectedRows, inner.affectedRows, beside.affectedRows];
    });
    t.deepEqual(counts, [1, 1, 2]);
  });

  test(`${engine}: execute of an outer transaction fails at once if its nested transaction waits for it`, async (t) => {
    const { database, table } = await open(t, engine);
    await t.throwsAsync(
      database.transaction(async () => {
        const outer = database.current();
        await database.transaction(async () => {
          await outer.execute(`SELECT id FROM ${table}`);
        });
      }),
      { instanceOf: UnitOfWorkError, message: /waits for a statement of its outer transaction/ },
    );
    // Without a wait inside of the nested transaction, the statement runs after it.
    const late = await database.transaction(async () => {
      const outer = database.current();
      const sent: Promise<unknown>[] = [];
      await database.transaction(async () => void sent.push(outer.execute(`SELECT id FROM ${table}`)));
      return Promise.all(sent);
    });
    t.is(late.length, 1);
  });

  test(`${engine}: booleans, times, JSON and big integers are read as they were written`, async (t) => {
    const { database, table } = await open(t, engine);
    const documents = [{ a: [1, null, 'ü'] }, [1, 2], 'text', '12', 12, 1.5, true, null];
    const rows = documents.map((document, index) => ({
      id: BigInt(Number.MAX_SAFE_INTEGER) + BigInt(index),
      flag: index % 2 === 0,
      at: new Date(Date.UTC(index % 2 === 0 ? 2026 : 1970, 6, 1, 12, 30, 15, 250 + index)),
      document,
    }));
    const insert = `INSERT INTO ${table} (id, flag, at, document) VALUES ($1, $2, $3, $4) RETURNING id, flag, at, document`;
    for (const row of rows) {
      const { rows: written } = await database.execute(insert, [
        row.id,
        row.flag,
        row.at,
        JSON.stringify(row.document),
      ]);
      t.deepEqual(written, [row]);
    }
    const read = await database.execute(
      `SELECT id, flag, at, document FROM ${table} WHERE flag = $1 ORDER BY id`,
      [true],
    );
    t.deepEqual(
      read.rows,
      rows.filter(({ flag }) => flag),
    );
    const [all] = (await database.execute(`SELECT * FROM ${table} ORDER BY id`)).rows;
    t.deepEqual(all, { ...rows[0], text: null, bytes: null, rate: null });
    const early = `SELECT id FROM ${table} WHERE at < $1`;
    t.is((await database.execute(early, [new Date(Date.UTC(2000, 0, 1))])).rows.length, 4);
  });

  test(`${engine}: text, bytes, numbers and null are the same in execute and in query`, async (t) => {
    const { database, table } = await open(t, engine);
    const row = { id: -(2n ** 63n), text: "$1 ' ü", bytes: Buffer.from([0, 255]), rate: 0.1 };
    const params = Object.values(row);
    const insert = `INSERT INTO ${table} (id, text, bytes, rate) VALUES ($1, $2, $3, $4)`;
    await database.execute(insert, params);
    const read = `SELECT id, text, bytes, rate FROM ${table}`;
    t.deepEqual((await database.execute(read)).rows, [row]);
    t.deepEqual(await database.query(read), [row]);
    const { columns, values } = await database.execute(`SELECT id, id + 1 AS id, text FROM ${table}`);
    t.deepEqual(
      columns.map(({ name }) => name),
      ['id', 'id', 'text'],
    );
    t.deepEqual([values.length, values[0]?.length], [1, 3], 'columns of one name are kept apart');
  });

  test(`${engine}: lists, objects, invalid dates and a wrong number of parameters are refused`, async (t) => {
    const { database, table } = await open(t, engine);
    const insert = `INSERT INTO ${table} (id, text) VALUES ($1, $2)`;
    const wrong: unknown[] = [[1, 2], ['a'], {}, new Map(), new Date(Number.NaN), () => 1];
    for (const value of wrong) {
      const error = await t.throwsAsync(database.query(insert, [1, value as SqlValue]), raw);
      t.true(error instanceof TypeError, String(error));
    }
    for (const params of [[1], [], [1, 'a', 2]]) {
      const error = await t.throwsAsync(database.query(insert, params), raw);
      t.false(
        error instanceof CommitInDoubtError || error instanceof DatabaseUnavailableError,
        String(error),
      );
      await t.throwsAsync(
        database.transaction(() => database.query(insert, params)),
        { ...raw, message: /parameters/ },
      );
    }
    t.deepEqual(await database.query(`SELECT id FROM ${table}`), []);
  });

  test(`${engine}: a failed execute keeps the code of its error, and its transaction cannot commit`, async (t) => {
    const { database, table } = await open(t, engine);
    const insert = `INSERT INTO ${table} (id) VALUES ($1)`;
    await database.execute(insert, [1]);
    const codes = { sqlite: 'SQLITE_CONSTRAINT_PRIMARYKEY', postgres: '23505' };
    await t.throwsAsync(database.execute(insert, [1]), { ...raw, code: codes[engine] });
    const swallowing = database.transaction(async () => {
      await database.execute(insert, [2]);
      await t.throwsAsync(database.execute(insert, [1]), raw);
    });
    await t.throwsAsync(swallowing, { instanceOf: UnitOfWorkError });
    t.deepEqual(await database.query(`SELECT id FROM ${table}`), [{ id: 1n }]);
    await t.throwsAsync(database.execute('COMMIT'), { instanceOf: TypeError, message: /transaction\(\)/ });
  });
}

test('sqlite: a statement that was sent again after a change of the table has the new columns', async (t) => {
  const { database, table } = await open(t, 'sqlite');
  const all = `SELECT * FROM ${table}`;
  await database.execute(`INSERT INTO ${table} (id) VALUES (1)`);
  const before = (await database.execute(all)).columns.length;
  await database.query(all);
  await database.execute(`ALTER TABLE ${table} ADD COLUMN active BOOLEAN NOT NULL DEFAULT 1`);
  const after = await database.execute(all);
  t.is(after.columns.length, before + 1);
  t.is(after.rows[0]?.active, true);
  t.is((await database.query(all))[0]?.active, 1n, 'query returns the stored form');
});

test('sqlite: execute reads values that other programs stored in other forms', async (t) => {
  const { database, table } = await open(t, 'sqlite');
  await database.execute(
    `INSERT INTO ${table} (id, at, flag) VALUES (1, '2026-07-01 12:30:15', 2), (2, '2026-07-01T14:30:15.5+02:00', 0), (3, 5, 1)`,
  );
  const { rows } = await database.execute(`SELECT at, flag FROM ${table} ORDER BY id`);
  t.deepEqual(rows, [
    { at: new Date('2026-07-01T12:30:15Z'), flag: 2n },
    { at: new Date('2026-07-01T12:30:15.5Z'), flag: false },
    { at: 5n, flag: true },
  ]);
  await database.execute(`UPDATE ${table} SET document = 'no JSON'`);
  const read = await database.execute(`SELECT document FROM ${table}`);
  t.throws(() => read.rows, { instanceOf: TypeError, message: /column document is declared as JSON/ });
});

test('sqlite: `$1` inside of quoted names is not a parameter', async (t) => {
  const { database } = await open(t, 'sqlite');
  const { rows } = await database.execute('SELECT $1 AS `it\'s $2`, $2 AS [it\'s $1], $1 AS "b"', ['a', 'b']);
  t.deepEqual(rows, [{ "it's $2": 'a', "it's $1": 'b', b: 'a' }]);
});

test('sqlite: the connection keeps at most 500 statements prepared, and keeps the ones in use', async (t) => {
  const file = new Sqlite(join(await freshFolder(t), 'app.db'));
  t.teardown(() => void file.close());
  const prepared: string[] = [];
  const prepare = file.prepare.bind(file);
  file.prepare = ((text: string) => {
    prepared.push(text);
    return prepare(text);
  }) as typeof file.prepare;
  const { database, close } = await openSqlite({ database: file });
  t.teardown(close);
  await database.query('CREATE TABLE notes (id BIGINT)');
  const list = (length: number) => Array.from({ length }, (_, index) => `$${index + 1}`).join();
  const used = 'DELETE FROM notes WHERE id = $1';
  for (let length = 1; length <= 600; length++) {
    await database.query(`DELETE FROM notes WHERE id IN (${list(length)})`, Array(length).fill(1));
    await database.query(used, [1]);
  }
  const times = (text: string) => prepared.filter((each) => each === text.replace(/\$\d+/g, '?')).length;
  t.is(times(used), 1);
  t.is(times(`DELETE FROM notes WHERE id IN (${list(1)})`), 1);
  await database.query(`DELETE FROM notes WHERE id IN (${list(1)})`, [1]);
  t.is(times(`DELETE FROM notes WHERE id IN (${list(1)})`), 2, 'the oldest statement was dropped');
});

test('postgres: a TIMESTAMP without a zone keeps the local time of a Date, as with pg', async (t) => {
  const { database } = await open(t, 'postgres');
  const dates = [new Date(), new Date(1970, 0, 1, 3, 4, 5, 6), new Date(1850, 5, 1), new Date(12_026, 1, 1)];
  for (const date of dates) {
    const { rows } = await database.execute(
      'SELECT CAST($1 AS TIMESTAMP) AS local, CAST($1 AS TIMESTAMPTZ) AS at',
      [date],
    );
    t.deepEqual(rows, [{ local: date, at: date }]);
  }
});

test('postgres: a statement that is sent again after a change of its table returns its rows once', async (t) => {
  const { database, table } = await open(t, 'postgres');
  await database.execute(`INSERT INTO ${table} (id) VALUES (1), (2)`);
  const all = `SELECT * FROM ${table} ORDER BY id`;
  await database.execute(all);
  await database.execute(`ALTER TABLE ${table} ADD COLUMN note TEXT`);
  const { rows, columns } = await database.execute(all);
  t.deepEqual(
    rows.map(({ id, note }) => [id, note]),
    [
      [1n, null],
      [2n, null],
    ],
  );
  t.is(columns.at(-1)?.name, 'note');
});
