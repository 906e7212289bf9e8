import Sqlite from 'better-sqlite3';
import type { Database } from 'grpc-replay-guard/database';
import { type OpenStore, openSqlite, type SqliteOptions } from 'grpc-replay-guard/sqlite';
import { expectType } from './expect-type.js';

const opened = await openSqlite({ path: 'shop.db' });
expectType<OpenStore>()(opened);
expectType<Database>()(opened.database);
expectType<Promise<void>>()(opened.close());
openSqlite({ database: new Sqlite(':memory:'), groupLimit: 1, clock: () => 0 });
// @ts-expect-error options are required: a path or an open database
openSqlite();
// @ts-expect-error an unknown option
openSqlite({ file: 'shop.db' });
// @ts-expect-error an option of the Postgres store
openSqlite({ connectionString: 'postgres://localhost/shop' });
// @ts-expect-error a database is an open handle
openSqlite({ database: 'shop.db' });
const options: SqliteOptions = { path: 'shop.db' };
// @ts-expect-error options are readonly
options.path = 'other.db';
