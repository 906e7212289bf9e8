import { createRequire } from 'node:module';
import test, { type ExecutionContext } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import pg, { type Pool, type PoolConfig } from 'pg';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { freshData } from '../../helpers/databases/engines.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';

const insert = 'INSERT INTO notes (id) VALUES ($1)';
const unavailable = { instanceOf: DatabaseUnavailableError };

async function openOn(t: ExecutionContext, pool: Pool) {
  pool.on('error', () => {});
  t.teardown(() => pool.end());
  const opened = await openPostgres({ pool });
  await opened.database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
  return opened;
}

/** Loads pg once more, as a package that has its own copy of pg does. */
function otherCopyOfPg(): typeof pg {
  const load = createRequire(import.meta.url);
  const own = new Map(Object.entries(load.cache).filter(([path]) => /[\\/]node_modules[\\/]pg/.test(path)));
  for (const path of own.keys()) delete load.cache[path];
  try {
    return load('pg');
  } finally {
    for (const [path, module] of own) load.cache[path] = module;
  }
}

for (const pipeline of [true, false]) {
  test(`a pool of another copy of pg serves as the store, pipeline ${pipeline}`, async (t) => {
    const other = otherCopyOfPg();
    t.not(other.Query, pg.Query);
    const { url } = await freshData(t, 'postgres');
    const config: PoolConfig = { connectionString: url, pipeline, max: 2 };
    const { database, store } = await openOn(t, new other.Pool(config));
    const operation = request({ atomicity: 'TRANSACTION' });
    const claim = claimed(t, await store.claim(operation));
    const writes = () => Promise.all([1, 2].map((id) => database.query(insert, [id])));
    await claim.run(() => database.transaction(writes));
    await claim.complete(reply('done'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('done'));
    t.deepEqual(await database.query('SELECT count(*) AS notes FROM notes'), [{ notes: 2n }]);
  });

  test(`the query time-out of a pool of the application ends a batch, pipeline ${pipeline}`, async (t) => {
    const { url } = await freshData(t, 'postgres');
    const proxy = await startProxy(t, url);
    const config: PoolConfig = { connectionString: proxy.url, pipeline, max: 1, query_timeout: 1_000 };
    const pool = new pg.Pool(config);
    const { database } = await openOn(t, pool);
    proxy.hang();
    await t.throwsAsync(database.query('SELECT id FROM notes'), unavailable);
    proxy.up();
    const commit = database.transaction(async () => {
      await database.query(insert, [1]);
      proxy.hang();
    });
    await t.throwsAsync(commit, { instanceOf: CommitInDoubtError });
    proxy.up();
    await database.query(insert, [2]);
    t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 2n }]);
    t.is(pool.totalCount, 1);
  });
}

test('a commit behind a rollback to a savepoint that pg dropped at the query time-out takes no effect', async (t) => {
  const { url } = await freshData(t, 'postgres');
  const { database } = await openOn(
    t,
    new pg.Pool({ connectionString: url, pipeline: false, max: 1, query_timeout: 500 } as PoolConfig),
  );
  await database.query(insert, [1]);
  const holder = new pg.Client({ connectionString: url });
  await holder.connect();
  t.teardown(() => holder.end());
  await holder.query('BEGIN');
  await holder.query('SELECT id FROM notes FOR UPDATE');
  const slow = 'WITH made AS (INSERT INTO notes VALUES (2)) UPDATE notes SET id = id WHERE id = 1';
  const failing = database.transaction(async () => {
    let answer: Promise<unknown> | undefined;
    const nested = database.transaction(async () => {
      answer = database.query(slow);
      answer.catch(() => {});
      throw new Error('rolled back');
    });
    await t.throwsAsync(nested, { message: 'rolled back' });
    await t.throwsAsync(async () => answer, unavailable);
    void holder.query('ROLLBACK');
  });
  await t.throwsAsync(failing, unavailable);
  t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 1n }]);
});

for (const [state, text] of [
  ['an open', 'SELECT 1'],
  ['a failed', 'SELECT 1 / 0'],
] as const) {
  test(`a connection that the application returns in ${state} transaction is closed`, async (t) => {
    const { url } = await freshData(t, 'postgres');
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    const { database } = await openOn(t, pool);
    const forget = async () => {
      const client = await pool.connect();
      await client.query('BEGIN');
      await client.query(insert, [1]);
      await client.query(text).catch(() => {});
      client.release();
    };
    await forget();
    await database.query(insert, [2]);
    await forget();
    await database.transaction(() => database.query(insert, [3]));
    t.deepEqual(await database.query('SELECT id FROM notes ORDER BY id'), [{ id: 2n }, { id: 3n }]);
    t.is(pool.totalCount, 1);
  });
}

test('a database that never answers ends a batch', async (t) => {
  const { url } = await freshData(t, 'postgres');
  const proxy = await startProxy(t, url);
  // The connection ends five seconds after the statement time-out.
  const opened = await openPostgres({
    connectionString: proxy.url,
    maxConnections: 1,
    statementTimeoutMs: 200,
  });
  t.teardown(() => opened.close());
  proxy.hang();
  await t.throwsAsync(opened.database.query('SELECT 1 AS one'), {
    ...unavailable,
    message: /did not answer within 5200 ms/,
  });
  proxy.up();
  t.deepEqual(await opened.database.query('SELECT 1 AS one'), [{ one: 1n }]);
});

test('a pool with clients of pg-native is refused', async (t) => {
  const released: unknown[] = [];
  const client = { release: () => released.push(client) };
  const pool = { connect: (use: (error: undefined, client: object) => void) => use(undefined, client) };
  await t.throwsAsync(openPostgres({ pool: pool as unknown as Pool }), {
    instanceOf: TypeError,
    message: /pg-native/,
  });
  t.deepEqual(released, [client]);
});
