import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite, { type Database as Handle } from 'better-sqlite3';
import { LockTimeoutError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import pg from 'pg';
import { claimed, request } from '../contracts/store/requests.js';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { dataAt, freshData, freshFolder } from '../helpers/databases/engines.js';
import {
  type Ledger,
  type LedgerMethod,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../helpers/servers/guarded-ledger.js';
import { stopSteadyClock } from '../helpers/waiting/stopped-clock.js';

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

const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];

/** The work of a handler on the database of the application and through the handle. */
type Work = (database: Handle, write: () => Promise<void>) => Promise<void> | void;

/** A ledger on a database of the application. Its handlers end with NOT_FOUND, which is kept, or with OK. */
async function shared(t: ExecutionContext, work: Work) {
  const database = new Sqlite(join(await freshFolder(t), 'app.db'));
  t.teardown(() => void database.close());
  const opened = await openSqlite({ database, busyTimeoutMs: 100 });
  t.teardown(opened.close);
  let code = status.NOT_FOUND;
  const ledger = await openLedger(t, 'sqlite', {
    opened,
    guard: { policies: Object.fromEntries(paths.map((path) => [path, { waitMs: 0 }])) },
    handlers: (handle) =>
      onBoth(async (_account, callback) => {
        await work(database, () => writeEffect(handle, 'handle'));
        if (code === status.OK) callback(null, {});
        else callback(Object.assign(new Error('kept'), { code }));
      }),
  });
  const succeed = () => {
    code = status.OK;
  };
  return { database, opened, ledger, succeed };
}

const direct = (database: Handle) => void database.exec("INSERT INTO effects VALUES ('direct', 1)");
const nested = (database: Handle) => database.transaction(() => direct(database))();

const directFirst: Work = (database, write) => {
  direct(database);
  return write();
};
const directLast: Work = async (database, write) => {
  await write();
  direct(database);
};
const nestedFirst: Work = (database, write) => {
  nested(database);
  return write();
};
const nestedLast: Work = async (database, write) => {
  await write();
  nested(database);
};

type Rows = readonly [what: string, work: Work, method: LedgerMethod, failed: string[], ok: string[]][];

/** The rows of the table in docs/reference/api.md: the effects after a kept failure, and after a success, too. */
const rows: Rows = [
  ['a direct write before the first write', directFirst, 'append', [], ['direct', 'handle']],
  [
    'a direct write before the first write',
    directFirst,
    'transfer',
    ['direct'],
    ['direct', 'direct', 'handle'],
  ],
  ['only a direct write', direct, 'append', [], ['direct']],
  ['only a direct write', direct, 'transfer', ['direct'], ['direct', 'direct']],
  ['a direct write after the first write', directLast, 'append', [], ['direct', 'handle']],
  ['a direct write after the first write', directLast, 'transfer', [], ['direct', 'handle']],
  ['db.transaction() before the first write', nestedFirst, 'append', [], ['direct', 'handle']],
  [
    'db.transaction() before the first write',
    nestedFirst,
    'transfer',
    ['direct'],
    ['direct', 'direct', 'handle'],
  ],
  ['db.transaction() after the first write', nestedLast, 'append', [], ['direct', 'handle']],
  ['db.transaction() after the first write', nestedLast, 'transfer', [], ['direct', 'handle']],
];

for (const [what, work, method, failed, ok] of rows) {
  test(`sqlite, ${method}: ${what}: a kept failure leaves ${failed.length} effects`, async (t) => {
    const { ledger, succeed } = await shared(t, work);
    t.is((await ledger.ask(method, 'failing')).code, status.NOT_FOUND);
    t.deepEqual(await ledger.effects(), failed);
    succeed();
    t.is((await ledger.ask(method, 'succeeding')).code, status.OK);
    t.deepEqual(await ledger.effects(), ok);
  });
}

test('postgres: a direct write on the pool of the application is outside of every call', async (t) => {
  const data = await freshData(t, 'postgres');
  const pool = new pg.Pool({ connectionString: data.url, max: 3 });
  t.teardown(() => pool.end());
  const opened = await openPostgres({ pool });
  const ledger = await openLedger(t, data, {
    opened,
    handlers: (handle) =>
      onBoth(async (account, callback) => {
        await writeEffect(handle, account);
        await pool.query(`INSERT INTO effects VALUES ('direct', 1)`);
        callback(Object.assign(new Error('kept'), { code: status.NOT_FOUND }));
      }),
  });
  for (const method of methods) t.is((await ledger.ask(method, 'key', 'handle')).code, status.NOT_FOUND);
  t.deepEqual(await ledger.effects(), ['direct', 'direct']);
});

for (const statement of ['COMMIT', 'ROLLBACK'] as const) {
  for (const method of methods) {
    test(`sqlite, ${method}: a direct ${statement} ends its call with an unknown outcome, and no other call is told that nothing was done`, async (t) => {
      const { ledger, succeed } = await shared(t, async (database, write) => {
        await write();
        database.exec(statement);
      });
      succeed();
      const reply = await ledger.ask(method, 'key', '', { deadlineMs: 10_000 });
      assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
    });
  }

  test.serial(`sqlite: a direct ${statement} leaves the other units of its commit in doubt`, async (t) => {
    const { database, opened } = await shared(t, () => {});
    stopSteadyClock(t);
    const neighbour = opened.database.transaction(() => writeEffect(opened.database, 'neighbour'));
    const breaking = opened.database.transaction(async () => {
      await writeEffect(opened.database, 'breaking');
      database.exec(statement);
      await writeEffect(opened.database, 'breaking');
    });
    await t.throwsAsync(breaking, { name: 'UnitOfWorkError', message: /use transaction\(\) of the handle/ });
    await t.throwsAsync(neighbour, { name: 'CommitInDoubtError' });
    await opened.database.query(`INSERT INTO effects VALUES ('later', 1)`);
    const committed = statement === 'COMMIT' ? ['breaking', 'later', 'neighbour'] : ['later'];
    const found = await opened.database.query('SELECT account FROM effects ORDER BY account');
    t.deepEqual(
      found.map(({ account }) => account),
      committed,
    );
  });
}

test('sqlite: a query uses the functions and the temporary tables of the application, also before the first write', async (t) => {
  const database = new Sqlite(join(await freshFolder(t), 'app.db'));
  t.teardown(() => void database.close());
  const { database: handle, store } = await openSqlite({ database });
  database.function('doubled', (value) => 2 * Number(value));
  database.exec('CREATE TEMP TABLE drafts AS SELECT 7 AS id');
  const claim = claimed(t, await store.claim(request()));
  for (const query of [handle.query.bind(handle), (text: string) => claim.run(() => handle.query(text))]) {
    t.deepEqual(await query('SELECT doubled(4) AS value'), [{ value: 8 }]);
    t.deepEqual(await query('SELECT id FROM drafts'), [{ id: 7n }]);
  }
  await claim.release();
  // An error of better-sqlite3 is no native error.
  await t.throwsAsync(handle.query('SELECT id FROM nowhere'), { any: true, message: /no such table/ });
});

test('sqlite: units of work wait for a transaction of the application, and neither commit nor undo it', async (t) => {
  const { database, ledger, succeed } = await shared(t, (_database, write) => write());
  succeed();
  database.exec('BEGIN');
  direct(database);
  for (const method of methods) {
    t.is((await ledger.ask(method, 'key')).code, status.UNAVAILABLE);
  }
  await t.throwsAsync(ledger.database.query(`INSERT INTO effects VALUES ('alone', 1)`), {
    instanceOf: LockTimeoutError,
    message: /the application has a transaction open/,
  });
  t.true(database.inTransaction);
  const waiting = ledger.append('waiting');
  database.exec('COMMIT');
  t.is((await waiting).code, status.OK);
  for (const method of methods) t.is((await ledger.ask(method, 'key')).code, status.OK);
  t.deepEqual(await ledger.effects(), ['direct', 'handle', 'handle', 'handle']);
});

test('sqlite: while the application iterates over rows, stored replies of other processes replay and claims wait', async (t) => {
  const { database, ledger, succeed } = await shared(t, (_database, write) => write());
  succeed();
  direct(database);
  direct(database);
  const iterator = database.prepare('SELECT * FROM effects').iterate();
  iterator.next();
  const other = await openLedger(t, dataAt(t, 'sqlite', `sqlite:${database.name}`));
  const reply = await other.append('key');
  t.is(reply.code, status.OK);
  t.like(await ledger.append('key'), { code: status.OK, replayed: true, bytes: reply.bytes });
  t.is((await ledger.append('new')).code, status.UNAVAILABLE);
  t.is(iterator.return?.().done, true);
  t.is((await ledger.append('new')).code, status.OK);
});
