import { integer as pgInteger, pgTable } from 'drizzle-orm/pg-core';
import { integer, sqliteTable } from 'drizzle-orm/sqlite-core';
import type { Database } from 'grpc-replay-guard/database';
import {
  createDrizzlePostgres,
  createDrizzleSqlite,
  type DrizzleOptions,
  type DrizzlePostgres,
  type DrizzleSqlite,
  type DrizzleSqliteResult,
  type PgResult,
} from 'grpc-replay-guard/drizzle';
import { expectType } from '../expect-type.js';

declare const database: Database;

const notes = pgTable('notes', { id: pgInteger().primaryKey() });
const postgres: DrizzlePostgres<{ notes: typeof notes }> = createDrizzlePostgres(database, {
  schema: { notes },
});
expectType<{ id: number }[]>()(await postgres.select().from(notes));
expectType<{ id: number } | undefined>()(await postgres.query.notes.findFirst());
const deleted: PgResult = await postgres.delete(notes);
expectType<number | null>()(deleted.rowCount);

const rows = sqliteTable('notes', { id: integer().primaryKey() });
const sqlite: DrizzleSqlite<{ rows: typeof rows }> = createDrizzleSqlite(database, {
  schema: { rows },
  logger: true,
});
expectType<{ id: number }[]>()(await sqlite.select().from(rows));
expectType<DrizzleSqliteResult>()(await sqlite.delete(rows));
// @ts-expect-error an unknown option
createDrizzleSqlite(database, { cache: {} });
const options: DrizzleOptions<Record<string, never>> = {};
// @ts-expect-error options are readonly
options.logger = true;
