import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import pg from 'pg';
import { freshData, freshFolder } from '../helpers/databases/engines.js';
import { type Ledger, methods, openLedger } from '../helpers/servers/guarded-ledger.js';

/** Calls each kind of method twice. Resolves to whether each reply was a replay. */
async function callTwice(ledger: Ledger): Promise<boolean[]> {
  const replayed: boolean[] = [];
  for (const method of methods) {
    for (const _ of [1, 2]) {
      const reply = await ledger.ask(method, 'key', method);
      if (reply.code !== status.OK) throw new Error(reply.details);
      replayed.push(reply.replayed);
    }
  }
  return replayed;
}

for (const pipeline of [true, false]) {
  test(`a pool of the application serves as the store and stays open, pipeline ${pipeline}`, async (t) => {
    const data = await freshData(t, 'postgres');
    const config: pg.PoolConfig & { pipeline: boolean } = { connectionString: data.url, pipeline, max: 2 };
    const pool = new pg.Pool(config);
    t.teardown(() => pool.end());
    const opened = await openPostgres({ pool });
    const ledger = await openLedger(t, data, { opened });
    t.deepEqual(await callTwice(ledger), [false, true, false, true]);
    const own = await pool.query('SELECT account FROM effects ORDER BY account');
    t.deepEqual(own.rows, [{ account: 'append' }, { account: 'transfer' }]);
    await opened.close();
    t.deepEqual((await pool.query('SELECT 1 AS alive')).rows, [{ alive: 1 }], 'stays open');
    t.is(pool.idleCount, pool.totalCount);
  });
}

for (const where of ['in a file', 'in memory'] as const) {
  test(`a Database of the application serves as the store and stays open, ${where}`, async (t) => {
    const path = where === 'in memory' ? ':memory:' : join(await freshFolder(t), 'app.db');
    const database = new Sqlite(path);
    t.teardown(() => void database.close());
    const opened = await openSqlite({ database });
    const data = { engine: 'sqlite', url: '', open: async () => opened } as const;
    const ledger = await openLedger(t, data, { opened });
    t.deepEqual(await callTwice(ledger), [false, true, false, true]);
    const own = database.prepare('SELECT account FROM effects ORDER BY account').all();
    t.deepEqual(own, [{ account: 'append' }, { account: 'transfer' }]);
    t.is(database.pragma('synchronous', { simple: true }), 2, 'FULL');
    await opened.close();
    t.true(database.open, 'stays open');
    t.false(database.inTransaction);
  });
}
