import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import { DrizzleQueryError, eq, relations, sql } from 'drizzle-orm';
import * as pgCore from 'drizzle-orm/pg-core';
import * as sqliteCore from 'drizzle-orm/sqlite-core';
import { LockTimeoutError, UnitOfWorkError } from 'grpc-replay-guard/database';
import { createDrizzlePostgres, createDrizzleSqlite } from 'grpc-replay-guard/drizzle';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { dataAt, freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';

const dataOf = emptiedData(test);
const raw = { any: true } as const;
const tables = [
  'CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL)',
  'CREATE TABLE notes (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, name TEXT NOT NULL)',
];

const pgOwners = pgCore.pgTable('owners', {
  id: pgCore.integer().primaryKey(),
  name: pgCore.text().notNull(),
});
const pgNotes = pgCore.pgTable('notes', {
  id: pgCore.integer().primaryKey(),
  owner: pgCore.integer().notNull(),
  name: pgCore.text().notNull(),
});
const sqliteOwners = sqliteCore.sqliteTable('owners', {
  id: sqliteCore.integer().primaryKey(),
  name: sqliteCore.text().notNull(),
});
const sqliteNotes = sqliteCore.sqliteTable('notes', {
  id: sqliteCore.integer().primaryKey(),
  owner: sqliteCore.integer().notNull(),
  name: sqliteCore.text().notNull(),
});

const pgSchema = {
  owners: pgOwners,
  notes: pgNotes,
  ownersToNotes: relations(pgOwners, ({ many }) => ({ notes: many(pgNotes) })),
  notesToOwners: relations(pgNotes, ({ one }) => ({
    owner: one(pgOwners, { fields: [pgNotes.owner], references: [pgOwners.id] }),
  })),
};
const sqliteSchema = {
  owners: sqliteOwners,
  notes: sqliteNotes,
  ownersToNotes: relations(sqliteOwners, ({ many }) => ({ notes: many(sqliteNotes) })),
  notesToOwners: relations(sqliteNotes, ({ one }) => ({
    owner: one(sqliteOwners, { fields: [sqliteNotes.owner], references: [sqliteOwners.id] }),
  })),
};

async function openPostgres(t: Cleanup) {
  const { database } = await (await dataOf(t, 'postgres')).open();
  await database.migrate('notes', tables);
  return { database, db: createDrizzlePostgres(database, { schema: pgSchema }) };
}

async function openSqlite(t: Cleanup) {
  const { database } = await (await dataOf(t, 'sqlite')).open();
  await database.migrate('notes', tables);
  return { database, db: createDrizzleSqlite(database, { schema: sqliteSchema }) };
}

const joined = [{ owners: { id: 1, name: 'ada' }, notes: { id: 5, owner: 1, name: 'first' } }];
const related = [{ id: 1, name: 'ada', notes: [{ id: 5, owner: 1, name: 'first' }] }];

test.serial('postgres: joined columns with equal names stay separate, and relations are read', async (t) => {
  const { db } = await openPostgres(t);
  await db.insert(pgOwners).values({ id: 1, name: 'ada' });
  await db.insert(pgNotes).values({ id: 5, owner: 1, name: 'first' });
  const rows = await db.select().from(pgOwners).innerJoin(pgNotes, eq(pgNotes.owner, pgOwners.id));
  t.deepEqual(rows, joined);
  t.deepEqual(await db.query.owners.findMany({ with: { notes: true } }), related);
  t.is(await db.$count(pgNotes), 1);
  const {
    rows: own,
    rowCount,
    command,
  } = await db.execute(sql`SELECT id, now() AS now FROM notes WHERE id = ${5}`);
  t.deepEqual([own[0]?.id, typeof own[0]?.now, rowCount, command], [5, 'string', 1, 'SELECT']);
  const prepared = db
    .select()
    .from(pgNotes)
    .where(eq(pgNotes.id, sql.placeholder('id')))
    .prepare('by_id');
  t.deepEqual(await prepared.execute({ id: 5 }), [{ id: 5, owner: 1, name: 'first' }]);
});

test.serial('sqlite: joined columns with equal names stay separate, and relations are read', async (t) => {
  const { db } = await openSqlite(t);
  t.deepEqual(await db.insert(sqliteOwners).values({ id: 1, name: 'ada' }).run(), {
    rows: [],
    changes: 1,
    lastInsertRowid: 1,
  } as never);
  await db.insert(sqliteNotes).values({ id: 5, owner: 1, name: 'first' });
  const rows = await db
    .select()
    .from(sqliteOwners)
    .innerJoin(sqliteNotes, eq(sqliteNotes.owner, sqliteOwners.id));
  t.deepEqual(rows, joined);
  t.deepEqual(await db.query.owners.findMany({ with: { notes: true } }), related);
  t.is(await db.$count(sqliteNotes), 1);
  const text = sql`SELECT id, name FROM notes WHERE id = ${5}`;
  t.deepEqual(await db.all(text), [{ id: 5, name: 'first' }]);
  t.deepEqual(await db.get(text), { id: 5, name: 'first' });
  t.deepEqual(await db.values(text), [[5, 'first']]);
  t.is(await db.get(sql`SELECT id FROM notes WHERE id = 6`), undefined);
  t.is(await db.select().from(sqliteNotes).where(eq(sqliteNotes.id, 6)).get(), undefined);
});

test.serial(
  'another isolation level is refused, rollback() rolls back, and a transaction object fails after its work',
  async (t) => {
    const { db } = await openPostgres(t);
    const level = { isolationLevel: 'serializable' } as const;
    await t.throwsAsync(
      db.transaction(async () => {}, level),
      { instanceOf: TypeError, message: /READ COMMITTED/ },
    );
    await t.throwsAsync(
      db.transaction((inner) => inner.setTransaction(level)),
      raw,
    );
    const rolledBack = db.transaction(async (inner) => {
      await inner.insert(pgOwners).values({ id: 1, name: 'ada' });
      inner.rollback();
    });
    await t.throwsAsync(rolledBack, { message: 'Rollback' });
    const leaked = await db.transaction(async (inner) => inner, { isolationLevel: 'read committed' });
    const late = await t.throwsAsync(leaked.insert(pgOwners).values({ id: 2, name: 'bob' }), {
      instanceOf: DrizzleQueryError,
    });
    t.true(late?.cause instanceof UnitOfWorkError);
    t.is(await db.$count(pgOwners), 0);
  },
);

test.serial(
  'sqlite: a locked file behind an error of Drizzle is an outage, and the retry executes',
  async (t) => {
    const path = join(await freshFolder(t), 'app.db');
    const data = dataAt(t, 'sqlite', `sqlite:${path}`);
    const opened = await data.open({ lockTimeoutMs: 50 });
    await opened.database.migrate('notes', tables);
    const db = createDrizzleSqlite(opened.database, { schema: sqliteSchema });
    const blocker = new Sqlite(path);
    t.teardown(() => void blocker.close());
    let isBlocked = true;
    const causes: unknown[] = [];
    const ledger = await openLedger(t, data, {
      opened,
      handlers: () =>
        onBoth(async (_account, callback) => {
          if (isBlocked) blocker.exec('BEGIN IMMEDIATE');
          try {
            await db.insert(sqliteOwners).values({ id: 1, name: 'ada' });
            callback(null, {});
          } catch (error) {
            causes.push((error as Error).cause);
            callback(error as Error);
          } finally {
            if (isBlocked) blocker.exec('ROLLBACK');
            isBlocked = false;
          }
        }),
    });
    const first = await ledger.transfer('key');
    assertRefused(t, first, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
    t.true(causes[0] instanceof LockTimeoutError);
    t.is((await ledger.transfer('key')).code, 0);
    t.is(await db.$count(sqliteOwners), 1);
  },
);

test.serial('a handle of the other engine, and a cache, are refused', async (t) => {
  const { database } = await openSqlite(t);
  t.throws(() => createDrizzlePostgres(database), {
    instanceOf: TypeError,
    message: /not a postgres database/,
  });
  t.throws(() => createDrizzleSqlite(database, { cache: {} } as never), { message: /unknown option cache/ });
  const statements: string[] = [];
  const logger = { logQuery: (text: string) => void statements.push(text) };
  await createDrizzleSqlite(database, { schema: sqliteSchema, logger }).query.notes.findMany();
  t.is(statements.length, 1);
});
