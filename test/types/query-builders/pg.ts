import type { Database } from 'grpc-replay-guard/database';
import {
  createPgDriver,
  createPgPool,
  type PgClient,
  type PgPool,
  type PgPoolOptions,
  type PgQuery,
  type PgQueryable,
  type PgResult,
} from 'grpc-replay-guard/pg';
import { expectType } from '../expect-type.js';

declare const database: Database;

const pool = createPgPool(database, { parseBigInt: BigInt });
expectType<PgPool>()(pool);
const client = await pool.connect();
expectType<PgClient>()(client);
const queryable: PgQueryable = client;
expectType<PgResult<{ id: number }>>()(
  await queryable.query<{ id: number }>('SELECT id FROM notes WHERE id = $1', [1]),
);
const query: PgQuery = { text: 'SELECT 1', rowMode: 'array' };
expectType<void>()(
  pool.query(query, (error, result) => expectType<Error | undefined>()(error) ?? result?.rows),
);
expectType<PgPool>()(new (createPgDriver(pool).Pool)());
// @ts-expect-error an unknown option
createPgPool(database, { max: 1 });
const options: PgPoolOptions = {};
// @ts-expect-error options are readonly
options.parseBigInt = BigInt;
