import test, { type ExecutionContext } from 'ava';
import { LockTimeoutError, PoolerError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import pg, { type PoolConfig } from 'pg';
import { claimed, reply, request } from '../../contracts/store/requests.js';
import { administer } from '../../helpers/databases/administer.js';
import { type EngineOptions, openUrl } from '../../helpers/databases/open-url.js';
import { openOutbox } from '../../helpers/databases/outbox.js';
import {
  type PgBouncer,
  type PgBouncerOptions,
  pgbouncer,
  startPgBouncer,
} from '../../helpers/databases/pgbouncer.js';
import { freshDatabase } from '../../helpers/databases/postgres.js';
import { useOutboxAndConsumer } from '../../helpers/databases/use-outbox.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { useStore } from '../../helpers/stores/use-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

/** Runs a test on a new database behind a PgBouncer. Without a PgBouncer the test reports that it did not run. */
function it(
  title: string,
  check: (t: ExecutionContext, pooler: PgBouncer, url: string) => Promise<void>,
  options: PgBouncerOptions = {},
): void {
  test.serial(title, async (t) => {
    if (!pgbouncer) {
      t.log('did not run: this machine has no PgBouncer');
      return t.pass();
    }
    const url = await freshDatabase(t);
    const pooler = await startPgBouncer(url, options);
    t.teardown(pooler.stop);
    await check(t, pooler, url);
  });
}

/** Opens a server through the pooler. It closes after the test. */
async function open(t: ExecutionContext, { url }: PgBouncer, options: EngineOptions = {}) {
  const opened = await openUrl(url, { pooler: 'transaction', ...options });
  t.teardown(opened.close);
  return opened;
}

it('PgBouncer in transaction mode: the guard keeps its contract on keys and series', async (t, pooler) => {
  const server = await open(t, pooler);
  await server.ping();
  await useStore(t, server, await open(t, pooler));
});

it(
  'PgBouncer in statement mode is refused at the start, also if the tables exist',
  async (t, pooler, url) => {
    await (await openUrl(url)).close();
    const message = /in statement mode, which has no transactions/;
    for (const migrate of [true, false])
      await t.throwsAsync(open(t, pooler, { migrate }), { instanceOf: TypeError, message });
  },
  { mode: 'statement' },
);

it('PgBouncer in transaction mode: messages and events keep their contract', async (t, pooler) => {
  const outbox = await openOutbox({ engine: 'postgres', url: pooler.url, open: () => open(t, pooler) });
  await useOutboxAndConsumer(t, outbox);
});

it(
  'more transactions than sessions wait in PgBouncer, and their statements reach one session each',
  async (t, pooler) => {
    const { database } = await open(t, pooler, { maxConnections: 20 });
    await database.migrate('notes', ['CREATE TABLE notes (transaction BIGINT, process BIGINT)']);
    const write = 'INSERT INTO notes VALUES ($1, pg_backend_pid())';
    const transaction = (number: number) =>
      database.transaction(async () => {
        // Sent without a wait for the answer to the first one.
        await Promise.all([database.query(write, [number]), database.query(write, [number])]);
        await database.query(write, [number]);
      });
    await Promise.all(Array.from({ length: 100 }, (_, number) => transaction(number)));
    const [counted] = await database.query(
      `SELECT count(*) AS rows, (SELECT count(DISTINCT (transaction, process)) FROM notes) AS sessions FROM notes`,
    );
    t.deepEqual<object | undefined, object>(counted, { rows: 300n, sessions: 100n });
  },
  { poolSize: 2 },
);

const limitsOf = (names = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) =>
  `SELECT ${names.map((name) => `current_setting('${name}') AS ${name}`).join()}`;

it(
  'every transaction through a pooler has the time-outs of the options, and leaves nothing in the session',
  async (t, pooler, url) => {
    const options = { lockTimeoutMs: 1_500, unitLimitMs: 20_000 };
    const { store, database } = await open(t, pooler, options);
    const limits = {
      ...{ statement_timeout: '10s', lock_timeout: '1500ms' },
      idle_in_transaction_session_timeout: '25s',
    };
    const seen = async () => (await database.query(limitsOf()))[0] as object;
    await database.migrate('notes', ['CREATE TABLE notes AS SELECT 1 AS id']);
    t.deepEqual(await seen(), limits, 'a read on its own');
    const [updated] = await database.query(
      `UPDATE notes SET id = 2 RETURNING (${limitsOf(['lock_timeout'])})`,
    );
    t.deepEqual<object | undefined, object>(updated, { lock_timeout: '1500ms' }, 'a write on its own');
    t.deepEqual(await database.transaction(seen), limits, 'a transaction');
    // The claim has a shorter lock timeout, and the handler has not.
    const operation = request({ atomicity: 'TRANSACTION' });
    const claim = claimed(t, await store.claim(operation));
    t.deepEqual(await claim.run(seen), limits, 'a unit of work');
    await claim.complete(reply('done'));

    // The one session of the pooler has the settings and statements of a new one.
    const [kept] = await administer(pooler.url, limitsOf());
    t.deepEqual(kept, (await administer(url, limitsOf()))[0]);
    const prepared = 'SELECT name FROM pg_prepared_statements';
    t.deepEqual(await administer(pooler.url, prepared), []);
  },
  { poolSize: 1 },
);

it(
  'commits through a pooler are durable, also in a session in which another application has turned that off',
  async (t, pooler, url) => {
    const { store, database } = await open(t, pooler);
    await database.migrate('notes', ['CREATE TABLE notes (durable TEXT)']);
    const durability = `SELECT current_setting('synchronous_commit') AS durable`;
    await administer(pooler.url, 'SET synchronous_commit = off');
    const insert = () => database.query(`INSERT INTO notes ${durability}`);
    await insert();
    await database.transaction(insert);
    const claim = claimed(t, await store.claim(request({ atomicity: 'TRANSACTION' })));
    await claim.run(insert);
    await claim.complete(reply('done'));
    t.deepEqual(
      await administer(url, 'SELECT durable FROM notes'),
      ['on', 'on', 'on'].map((durable) => ({ durable })),
    );
    // The other application keeps its setting, and a transaction may turn it off for itself.
    t.deepEqual(await administer(pooler.url, durability), [{ durable: 'off' }]);
    await database.transaction(async () => {
      await database.query('SET LOCAL synchronous_commit = off');
      t.deepEqual<object[], object[]>(await database.query(durability), [{ durable: 'off' }]);
    });
  },
  { poolSize: 1 },
);

it('the time-outs of a transaction through a pooler end a wait for a lock', async (t, pooler) => {
  const { database } = await open(t, pooler, { lockTimeoutMs: 50 });
  await database.migrate('notes', ['CREATE TABLE notes AS SELECT 1 AS id']);
  const update = () => database.query('UPDATE notes SET id = id + 1');
  const held = new Barrier();
  const holder = database.transaction(async () => {
    await update();
    await held.pass();
  });
  await held.reached();
  await t.throwsAsync(update(), { instanceOf: LockTimeoutError });
  await t.throwsAsync(database.transaction(update), { instanceOf: LockTimeoutError });
  held.open();
  await holder;
});

test('the settings of a transaction through a pooler travel with its BEGIN', async (t) => {
  const proxy = await startProxy(t, await freshDatabase(t), { latencyMs: 5 });
  const opened = await openUrl(proxy.url, { pooler: 'transaction', maxConnections: 1 });
  t.teardown(opened.close);
  const { store, database } = opened;
  await database.migrate('notes', ['CREATE TABLE notes (id BIGINT)']);
  const write = () => database.query('INSERT INTO notes VALUES (1)');
  proxy.reset();
  const claim = claimed(t, await store.claim(request({ atomicity: 'TRANSACTION' })));
  await claim.run(write);
  await claim.complete(reply('done'));
  const kinds = proxy.statements.map((text) => /^[A-Z]+/.exec(text)?.[0]);
  const claiming = ['BEGIN', 'SELECT', 'SET', 'INSERT'];
  // The lock timeout is restored with the first statement of the handler.
  t.deepEqual(kinds, [...claiming, 'SELECT', 'INSERT', 'UPDATE', 'COMMIT']);
  t.is(proxy.roundTrips, 3);
});

const message = (found: string) => `${found}; set the option \`pooler\` to 'transaction'`;

for (const [found, options] of [
  ['a pooler refuses the time-outs (unsupported startup parameter: statement_timeout)', {}],
  ['the database is behind a pooler that ignores the time-outs of a connection', { ignoresParameters: true }],
] as const) {
  it(
    `without the option the start is refused: ${found.replace(/ \(.*/, '')}`,
    async (t, pooler) => {
      const { url: connectionString } = pooler;
      await t.throwsAsync(openPostgres({ connectionString }), {
        instanceOf: PoolerError,
        message: message(found),
      });
    },
    options,
  );
}

/** Returns a pool of the application, without time-outs. */
function poolOn(t: ExecutionContext, { url }: PgBouncer, max = 5): pg.Pool {
  const config: PoolConfig & { pipeline: boolean } = { connectionString: url, pipeline: true, max };
  const pool = new pg.Pool(config).on('error', () => {});
  t.teardown(() => pool.end());
  return pool;
}

it('without the option a pool of the application behind a transaction pooler is refused', async (t, pooler) => {
  const found = 'the database is behind a pooler that gives each transaction another session';
  await t.throwsAsync(openPostgres({ pool: poolOn(t, pooler) }), {
    instanceOf: PoolerError,
    message: message(found),
  });
});

it('with the option a pool of the application behind a transaction pooler keeps the contract', async (t, pooler) => {
  const pool = poolOn(t, pooler);
  const opened = await openPostgres({
    pool,
    pooler: 'transaction',
    lockTimeoutMs: 700,
    statementTimeoutMs: 9_000,
  });
  await useStore(t, opened, await open(t, pooler));
  const [found] = await opened.database.query(limitsOf(['lock_timeout', 'statement_timeout']));
  t.deepEqual<object | undefined, object>(found, { lock_timeout: '700ms', statement_timeout: '9s' });
});

it(
  'a pooler that keeps one session for each connection needs no option if the pool has its time-outs',
  async (t, pooler) => {
    const server = await openPostgres({ pool: poolOn(t, pooler) });
    await useStore(t, server, await open(t, pooler));
  },
  { mode: 'session' },
);

it('a parameter that PgBouncer refuses with the option stops the start', async (t, pooler) => {
  const connectionString = `${pooler.url}?options=-c%20search_path%3Dother`;
  await t.throwsAsync(openPostgres({ connectionString, pooler: 'transaction' }), {
    instanceOf: TypeError,
    message:
      /^the pooler refuses a parameter of the connection string: unsupported startup parameter: options$/,
  });
});

test('another value of the option `pooler` is refused', async (t) => {
  const options = { connectionString: 'postgres://127.0.0.1/none', pooler: 'session' };
  await t.throwsAsync(openPostgres(options as never), {
    instanceOf: TypeError,
    message: "the option `pooler` must be 'transaction' or undefined",
  });
});
