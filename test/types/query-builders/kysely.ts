import type { Database } from 'grpc-replay-guard/database';
import { createKyselyDialect, type KyselyDialectOptions } from 'grpc-replay-guard/kysely';
import { type Dialect, Kysely } from 'kysely';
import { expectType } from '../expect-type.js';

declare const database: Database;

const dialect = createKyselyDialect(database);
expectType<Dialect>()(dialect);
const db = new Kysely<{ notes: { id: number } }>({ dialect });
expectType<{ id: number }[]>()(await db.selectFrom('notes').selectAll().execute());
createKyselyDialect(database, { parseBigInt: BigInt });
createKyselyDialect(database, { parseBigInt: (digits) => digits.length });
// @ts-expect-error an unknown option
createKyselyDialect(database, { pool: 1 });
// @ts-expect-error the handle is required
createKyselyDialect();
const options: KyselyDialectOptions = {};
// @ts-expect-error options are readonly
options.parseBigInt = BigInt;
