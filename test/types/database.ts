import {
  type Column,
  CommitInDoubtError,
  type Database,
  DatabaseUnavailableError,
  type Dialect,
  LeaseLostError,
  LockTimeoutError,
  type RawValue,
  type Result,
  type Row,
  type SqlColumn,
  UnitOfWorkError,
} from 'grpc-replay-guard/database';
import { expectType } from './expect-type.js';

declare const database: Database;

// Rows have the type argument of the query. Without a type argument, each column has the union of all column types.
const [counted] = await database.query<{ total: bigint }>('SELECT COUNT(*) AS total FROM items');
expectType<{ total: bigint } | undefined>()(counted);
expectType<bigint | undefined>()(counted?.total);
// @ts-expect-error the rows have no such column
counted?.sum;
const rows = await database.query('SELECT * FROM items WHERE sku = $1 AND data = $2', ['a', Buffer.alloc(1)]);
expectType<Row[]>()(rows);
expectType<SqlColumn | undefined>()(rows[0]?.anything);
expectType<string | number | bigint | Buffer | null>()(null as SqlColumn);
// @ts-expect-error a row is an object
database.query<string>('SELECT 1');

// Parameters are texts, numbers, booleans, dates, bytes or null.
database.query('SELECT $1, $2, $3, $4, $5', ['a', 1, 1n, new Uint8Array(1), null]);
database.query('SELECT $1, $2', [true, new Date()]);
// @ts-expect-error an object has no form on every engine
database.query('SELECT $1', [{}]);
// @ts-expect-error a list has no form on every engine
database.query('SELECT $1', [[1]]);
// @ts-expect-error parameters are a list
database.query('SELECT $1', 'a');

// A result has typed rows and the number of affected rows.
const result = await database.execute<{ total: bigint }>('SELECT COUNT(*) AS total FROM items');
expectType<Result<{ total: bigint }>>()(result);
expectType<bigint | undefined>()(result.rows[0]?.total);
expectType<number>()(result.affectedRows);
expectType<unknown>()((await database.execute('SELECT * FROM items')).rows[0]?.anything);
expectType<readonly Column[]>()(result.columns);
expectType<RawValue | undefined>()(result.values[0]?.[0]);
// @ts-expect-error the number of affected rows is readonly
result.affectedRows = 1;

// A transaction resolves to the result of its work, which is asynchronous.
expectType<Promise<number>>()(database.transaction(async () => 1));
// @ts-expect-error the work returns a promise
database.transaction(() => 1);
expectType<void>()(database.afterCommit(() => {}));
expectType<Database>()(database.current());
expectType<Promise<void>>()(database.migrate('shop', ['CREATE TABLE items (sku TEXT)']));
// @ts-expect-error steps are a list of statements
database.migrate('shop', 'CREATE TABLE items (sku TEXT)');

expectType<Dialect>()(database.dialect);
expectType<'sqlite' | 'postgres'>()(database.dialect.name);
// @ts-expect-error the dialect is readonly
database.dialect.now = 'now()';

// Every error has a code, and a lock time-out is an outage of the database.
for (const error of [
  new DatabaseUnavailableError('a'),
  new LockTimeoutError('a', { cause: 1 }),
  new CommitInDoubtError('a'),
  new LeaseLostError('a'),
  new UnitOfWorkError('a'),
]) {
  expectType<string>()(error.code);
  // @ts-expect-error the code is readonly
  error.code = 'OTHER';
}
const unavailable: DatabaseUnavailableError = new LockTimeoutError('a');
expectType<string>()(unavailable.message);
