import { sql as drizzleSql, eq, inArray } from 'drizzle-orm';
import * as pgCore from 'drizzle-orm/pg-core';
import * as sqliteCore from 'drizzle-orm/sqlite-core';
import type { Database } from 'grpc-replay-guard/database';
import { createDrizzlePostgres, createDrizzleSqlite } from 'grpc-replay-guard/drizzle';
import { createKnexClient } from 'grpc-replay-guard/knex';
import { createKyselyDialect } from 'grpc-replay-guard/kysely';
import { createPgPool, type PgQueryable } from 'grpc-replay-guard/pg';
import knexOf, { type Knex } from 'knex';
import { Kysely, sql as kyselySql } from 'kysely';

/** A row of the table of the suite. */
export interface Account {
  readonly id: number;
  readonly name: string;
  readonly active: boolean;
  readonly opened: Date;
  readonly settings: unknown;
  readonly rate: number;
  readonly photo: Uint8Array;
  readonly balance: bigint;
}

/** The types of both engines. SQLite keeps them as the declared types. */
export const accountsTable = `CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, active BOOLEAN,
  opened TIMESTAMPTZ, settings JSON, rate DOUBLE PRECISION, photo BYTEA, balance BIGINT)`;

/** The operations of the suite, written with one query builder. */
export interface Accounts {
  /** Resolves to the number of affected rows. */
  insert(id: number, name?: string): Promise<number>;
  /** Inserts a row and resolves to what RETURNING returns. */
  insertAll(account: Account): Promise<unknown>;
  /** Reads all columns of a row. */
  read(id: number): Promise<unknown>;
  /** Renames the accounts with at least this id, and resolves to the number of affected rows. */
  rename(from: number, suffix: string): Promise<number>;
  /** Resolves to the number of affected rows. */
  remove(id: number): Promise<number>;
  /** Resolves to those of the ids that the table has, in order, by a list of parameters. */
  find(ids: readonly number[]): Promise<number[]>;
  /** Runs `work` in a transaction of the builder. */
  transaction<T>(work: (inner: Accounts) => Promise<T>): Promise<T>;
  /** Sends a text. */
  send(text: string): Promise<unknown>;
  /** Reads rows one by one. */
  stream?(): Promise<unknown>;
}

/** A query builder under test. */
export interface Builder {
  readonly name: string;
  /** Whether a transaction of the builder runs its work in the context of the transaction. */
  readonly hasContext: boolean;
  /** The form of a BIGINT. */
  readonly balance: 'text' | 'bigint';
  open(database: Database): Accounts;
}

const defaults = (id: number, name = `name ${id}`) => ({ id, name });

interface Tables {
  accounts: {
    id: number;
    name: string;
    active?: boolean | null;
    opened?: Date | null;
    settings?: string | null;
    rate?: number | null;
    photo?: Uint8Array | null;
    balance?: bigint | null;
  };
}

/** Kysely has no nested transactions. The one of the handle takes their place, with the instance of Kysely. */
function withKysely(database: Database, root: Kysely<Tables>, db = root): Accounts {
  return {
    insert: async (id, name) => {
      const { numInsertedOrUpdatedRows: rows } = await db
        .insertInto('accounts')
        .values(defaults(id, name))
        .executeTakeFirstOrThrow();
      return Number(rows);
    },
    insertAll: (account) =>
      db
        .insertInto('accounts')
        .values({ ...account, settings: JSON.stringify(account.settings) })
        .returningAll()
        .executeTakeFirstOrThrow(),
    read: (id) => db.selectFrom('accounts').selectAll().where('id', '=', id).executeTakeFirst(),
    rename: async (from, suffix) => {
      const { numUpdatedRows } = await db
        .updateTable('accounts')
        .set((eb) => ({ name: eb(eb.ref('name'), '||', suffix) }))
        .where('id', '>=', from)
        .executeTakeFirst();
      return Number(numUpdatedRows);
    },
    remove: async (id) =>
      Number((await db.deleteFrom('accounts').where('id', '=', id).executeTakeFirst()).numDeletedRows),
    find: async (ids) => {
      const rows = await db
        .selectFrom('accounts')
        .select('id')
        .where('id', 'in', ids)
        .orderBy('id')
        .execute();
      return rows.map(({ id }) => id);
    },
    transaction: (work) =>
      db.isTransaction
        ? database.transaction(() => work(withKysely(database, root)))
        : db.transaction().execute((inner) => work(withKysely(database, root, inner))),
    send: (text) => kyselySql.raw(text).execute(db),
    stream: async () => {
      for await (const row of db.selectFrom('accounts').selectAll().stream()) return row;
      return undefined;
    },
  };
}

function withKnex(db: Knex): Accounts {
  const isPostgres = db.client.dialect === 'postgresql';
  const accounts = () => db('accounts');
  return {
    insert: async (id, name) => {
      const inserted = await accounts().insert(defaults(id, name));
      // Knex returns a result of pg on Postgres, and the last row id on SQLite.
      return isPostgres ? (inserted as unknown as { rowCount: number }).rowCount : inserted.length;
    },
    insertAll: async (account) => {
      const row = { ...account, settings: JSON.stringify(account.settings) };
      const [inserted] = await accounts().insert(row).returning('*');
      return inserted;
    },
    read: (id) => accounts().where({ id }).first(),
    rename: (from, suffix) =>
      accounts()
        .where('id', '>=', from)
        .update({ name: db.raw('?? || ?', ['name', suffix]) }),
    remove: (id) => accounts().where({ id }).delete(),
    find: (ids) => accounts().whereIn('id', ids).orderBy('id').pluck('id'),
    transaction: (work) => db.transaction((inner) => work(withKnex(inner))),
    send: (text) => db.raw(text),
    stream: () =>
      new Promise((resolve, reject) => {
        accounts().stream().on('error', reject).on('data', resolve);
      }),
  };
}

function withPg(
  queryable: PgQueryable,
  begin: () => Promise<{ client: PgQueryable; release(): void }>,
): Accounts {
  const one = async (text: string, values: unknown[]) => (await queryable.query(text, values)).rows[0];
  const count = async (text: string, values: unknown[]) =>
    (await queryable.query(text, values)).rowCount ?? 0;
  return {
    insert: (id, name = `name ${id}`) => count('INSERT INTO accounts (id, name) VALUES ($1, $2)', [id, name]),
    insertAll: (account) => {
      const { id, name, active, opened, settings, rate, photo, balance } = account;
      return one('INSERT INTO accounts VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *', [
        ...[id, name, active, opened],
        ...[settings, rate, photo, balance],
      ]);
    },
    read: (id) => one('SELECT * FROM accounts WHERE id = $1', [id]),
    rename: (from, suffix) => count('UPDATE accounts SET name = name || $1 WHERE id >= $2', [suffix, from]),
    remove: (id) => count('DELETE FROM accounts WHERE id = $1', [id]),
    find: async (ids) => {
      const list = ids.map((_, index) => `$${index + 1}`).join();
      const text = `SELECT id FROM accounts WHERE id IN (${list}) ORDER BY id`;
      const { rows } = await queryable.query<number[]>({ text, values: ids, rowMode: 'array' });
      return rows.map(([id]) => id as number);
    },
    transaction: async (work) => {
      const { client, release } = await begin();
      const depth = Number(client !== queryable) - 1;
      try {
        await client.query(depth < 0 ? 'SAVEPOINT nested' : 'BEGIN');
        const result = await work(withPg(client, async () => ({ client, release: () => {} })));
        await client.query(depth < 0 ? 'RELEASE SAVEPOINT nested' : 'COMMIT');
        return result;
      } catch (error) {
        await client.query(depth < 0 ? 'ROLLBACK TO SAVEPOINT nested' : 'ROLLBACK');
        throw error;
      } finally {
        release();
      }
    },
    send: (text) => queryable.query(text),
    stream: async () => queryable.query({ text: 'SELECT 1', submit() {} } as never),
  };
}

const pgAccounts = pgCore.pgTable('accounts', {
  id: pgCore.integer().primaryKey(),
  name: pgCore.text().notNull(),
  active: pgCore.boolean(),
  opened: pgCore.timestamp({ withTimezone: true }),
  settings: pgCore.json(),
  rate: pgCore.doublePrecision(),
  photo: pgCore.customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })(),
  balance: pgCore.bigint({ mode: 'bigint' }),
});

const sqliteAccounts = sqliteCore.sqliteTable('accounts', {
  id: sqliteCore.integer().primaryKey(),
  name: sqliteCore.text().notNull(),
  active: sqliteCore.integer({ mode: 'boolean' }),
  opened: sqliteCore.integer({ mode: 'timestamp_ms' }),
  settings: sqliteCore.text({ mode: 'json' }),
  rate: sqliteCore.real(),
  photo: sqliteCore.blob({ mode: 'buffer' }).$type<Uint8Array>(),
  balance: sqliteCore.numeric({ mode: 'bigint' }),
});

type PostgresDb = Pick<
  ReturnType<typeof createDrizzlePostgres>,
  'insert' | 'select' | 'update' | 'delete' | 'transaction' | 'execute'
>;

function withDrizzlePostgres(db: PostgresDb): Accounts {
  const table = pgAccounts;
  return {
    insert: async (id, name) => (await db.insert(table).values(defaults(id, name))).rowCount ?? 0,
    insertAll: async (account) => (await db.insert(table).values(account).returning())[0],
    read: async (id) => (await db.select().from(table).where(eq(table.id, id)))[0],
    rename: async (from, suffix) => {
      const name = drizzleSql`${table.name} || ${suffix}`;
      const renamed = await db.update(table).set({ name }).where(drizzleSql`${table.id} >= ${from}`);
      return renamed.rowCount ?? 0;
    },
    remove: async (id) => (await db.delete(table).where(eq(table.id, id))).rowCount ?? 0,
    find: async (ids) => {
      const rows = await db
        .select({ id: table.id })
        .from(table)
        .where(inArray(table.id, [...ids]))
        .orderBy(table.id);
      return rows.map(({ id }) => id);
    },
    transaction: (work) => db.transaction((inner) => work(withDrizzlePostgres(inner))),
    send: (text) => db.execute(drizzleSql.raw(text)),
  };
}

type SqliteDb = Pick<
  ReturnType<typeof createDrizzleSqlite>,
  'insert' | 'select' | 'update' | 'delete' | 'transaction' | 'run'
>;

function withDrizzleSqlite(db: SqliteDb): Accounts {
  const table = sqliteAccounts;
  return {
    insert: async (id, name) => (await db.insert(table).values(defaults(id, name))).changes,
    insertAll: async (account) =>
      (
        await db
          .insert(table)
          .values(account as never)
          .returning()
      )[0],
    read: async (id) => db.select().from(table).where(eq(table.id, id)).get(),
    rename: async (from, suffix) => {
      const name = drizzleSql`${table.name} || ${suffix}`;
      return (await db.update(table).set({ name }).where(drizzleSql`${table.id} >= ${from}`)).changes;
    },
    remove: async (id) => (await db.delete(table).where(eq(table.id, id))).changes,
    find: async (ids) => {
      const rows = await db
        .select({ id: table.id })
        .from(table)
        .where(inArray(table.id, [...ids]))
        .orderBy(table.id);
      return rows.map(({ id }) => id);
    },
    transaction: (work) => db.transaction((inner) => work(withDrizzleSqlite(inner as unknown as SqliteDb))),
    send: (text) => db.run(drizzleSql.raw(text)),
  };
}

/** Every query builder of the package, each with the operations of the suite. */
export const builders: readonly Builder[] = [
  {
    name: 'kysely',
    hasContext: true,
    balance: 'text',
    open: (database) => withKysely(database, new Kysely<Tables>({ dialect: createKyselyDialect(database) })),
  },
  {
    name: 'drizzle',
    hasContext: true,
    balance: 'bigint',
    open: (database) =>
      database.dialect.name === 'postgres'
        ? withDrizzlePostgres(createDrizzlePostgres(database))
        : withDrizzleSqlite(createDrizzleSqlite(database)),
  },
  {
    name: 'knex',
    hasContext: true,
    balance: 'text',
    open: (database) => withKnex(knexOf({ client: createKnexClient(database), useNullAsDefault: true })),
  },
  {
    name: 'pg',
    hasContext: false,
    balance: 'text',
    open: (database) => {
      const pool = createPgPool(database);
      return withPg(pool, async () => {
        const client = await pool.connect();
        return { client, release: () => client.release() };
      });
    },
  },
];
