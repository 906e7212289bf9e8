import type { Database } from 'grpc-replay-guard/database';
import { type OpenStore, openPostgres, type PostgresOptions } from 'grpc-replay-guard/postgres';
import pg from 'pg';
import { expectType } from './expect-type.js';

const opened = await openPostgres({ connectionString: 'postgres://localhost/shop' });
expectType<OpenStore>()(opened);
expectType<Database>()(opened.database);
expectType<Promise<void>>()(opened.ping());
openPostgres({ pool: new pg.Pool(), unitLimitMs: 1_000, lockTimeoutMs: 100, statementTimeoutMs: 100 });
openPostgres({ connectionString: 'postgres://db1,db2/shop', pooler: 'transaction' });
// @ts-expect-error: not a mode
openPostgres({ connectionString: 'postgres://localhost/shop', pooler: 'session' });
// @ts-expect-error options are required: a connection string or a pool
openPostgres();
// @ts-expect-error an unknown option
openPostgres({ connectionString: 'postgres://localhost/shop', max: 5 });
// @ts-expect-error an option of the SQLite store
openPostgres({ path: 'shop.db' });
// @ts-expect-error a client is not a pool
openPostgres({ pool: new pg.Client() });
const options: PostgresOptions = { maxConnections: 5 };
// @ts-expect-error options are readonly
options.maxConnections = 6;
