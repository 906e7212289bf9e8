import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { DatabaseUnavailableError, LeaseLostError } from 'grpc-replay-guard/database';
import type { Claim, OpenStore } from 'grpc-replay-guard/store';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type DataSource, type EngineOptions, engines } from '../../helpers/databases/engines.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { type PostgresProxy, startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';
import { claimed, completed, inProgress, reply, request } from './requests.js';

const emptied = emptiedData(test);
const table = ['CREATE TABLE notes (id BIGINT PRIMARY KEY)'];
const insert = 'INSERT INTO notes (id) VALUES ($1)';
/** The records of the scope of all requests. A cluster locks rows of one scope only. */
const ofTenant = `FROM replay_guard_records WHERE scope = ${scopeDigest('tenant')}`;
const unavailable = { instanceOf: DatabaseUnavailableError };
// The time-outs are so long that no wait ends because of them.
const longTimeouts = { unitLimitMs: 60_000, lockTimeoutMs: 60_000 };

const take = async (t: ExecutionContext, { store }: OpenStore, operation = request()): Promise<Claim> =>
  claimed(t, await store.claim(operation));

async function openOn(data: DataSource, options: EngineOptions): Promise<OpenStore> {
  const opened = await data.open(options);
  await opened.database.migrate('notes', table);
  return opened;
}

// Renewals of a claim while its unit of work opens or is open.
for (const engine of engines) {
  const it = (
    title: string,
    check: (t: ExecutionContext, opened: OpenStore, other: OpenStore) => Promise<void>,
  ) =>
    test.serial(`${engine}: ${title}`, async (t) => {
      const data = await emptied(t, engine);
      await check(t, await openOn(data, longTimeouts), await data.open({ unitLimitMs: 60_000 }));
    });

  it('a renewal during an open unit of work neither sends a statement nor waits', async (t, opened, other) => {
    const operation = request({ leaseMs: 1 });
    const claim = await take(t, opened, operation);
    await claim.run(() => opened.database.query(insert, [1]));
    await claim.renew();
    const found = await other.store.find(operation);
    t.true(inProgress(t, found).leaseLeftMs <= 0, 'the record is unchanged');
    inProgress(t, await other.store.claim(operation));
    await claim.complete(reply('done'));
    t.deepEqual(completed(t, await other.store.claim(operation)).reply, reply('done'));
  });

  it('a renewal that is in progress when the unit of work opens resolves without a wait and without a loss', async (t, opened) => {
    const operation = request();
    const claim = await take(t, opened, operation);
    const renewals = [claim.renew(), claim.renew()];
    const written = claim.run(() => opened.database.query(insert, [1]));
    renewals.push(claim.renew());
    await Promise.all(renewals);
    await written;
    t.false(claim.lost.aborted);
    await claim.complete(reply('done'));
    t.deepEqual(await opened.database.query('SELECT id FROM notes'), [{ id: 1n }]);
  });

  it('a renewal that waits for another unit of work resolves when its own unit of work opens', async (t, opened) => {
    const { database } = opened;
    const operation = request();
    const claim = await take(t, opened, operation);
    const begun = new Barrier();
    const otherUnit = database.transaction(async () => {
      // On SQLite the transaction holds the writer, on Postgres the record.
      await database.query('UPDATE replay_guard_records SET reply = NULL WHERE TRUE');
      await begun.pass();
    });
    await begun.reached();
    const renewals = Promise.all([claim.renew(), claim.renew()]);
    const written = claim.run(() => database.query(insert, [1]));
    await renewals;
    begun.open();
    await written;
    await Promise.all([otherUnit, claim.complete(reply('done'))]);
    t.false(claim.lost.aborted);
    completed(t, await opened.store.claim(operation));
  });

  it('a lost claim rolls back its unit of work', async (t, opened, other) => {
    const operation = request({ leaseMs: 1 });
    const earlierOwner = await take(t, opened, operation);
    let owner: Claim | undefined;
    await poll('the takeover', async () => {
      const result = await other.store.claim({ ...operation, leaseMs: 60_000 });
      owner = result.outcome === 'claimed' ? result.claim : undefined;
      return owner !== undefined;
    });
    await t.throwsAsync(earlierOwner.renew(), { instanceOf: LeaseLostError });
    t.true(earlierOwner.lost.reason instanceof LeaseLostError);
    const late = earlierOwner.run(() => opened.database.query(insert, [1]));
    await t.throwsAsync(late, { instanceOf: LeaseLostError });
    await t.throwsAsync(earlierOwner.fail(reply('too late')), { instanceOf: LeaseLostError });
    await owner?.complete(reply('owner'));
    t.deepEqual(await other.database.query('SELECT id FROM notes'), []);
  });
}

test.serial(
  'sqlite: a renewal fails as unavailable while another process holds the file, and then succeeds',
  async (t) => {
    const data = await emptied(t, 'sqlite');
    const opened = await openOn(data, { unitLimitMs: 60_000, lockTimeoutMs: 50 });
    const claim = await take(t, opened);
    const holder = new Sqlite(data.url.slice('sqlite:'.length));
    t.teardown(() => void holder.close());
    holder.exec('BEGIN IMMEDIATE');
    await t.throwsAsync(claim.renew(), unavailable);
    t.false(claim.lost.aborted);
    holder.exec('COMMIT');
    await claim.renew();
    await claim.complete(reply('done'));
  },
);

async function behindProxy(t: ExecutionContext): Promise<{ opened: OpenStore; proxy: PostgresProxy }> {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url, { maxConnections: 2, unitLimitMs: 60_000 });
  t.teardown(() => opened.close());
  await opened.database.migrate('notes', table);
  return { opened, proxy };
}

test.serial('postgres: a renewal sends one statement, or none while the unit of work is open', async (t) => {
  const { opened, proxy } = await behindProxy(t);
  const sent = async (claim: Claim) => {
    proxy.reset();
    await claim.renew();
    // The pool has two connections. A statement that waited for the unit of work would block the query.
    await opened.database.query('SELECT 1 AS one');
    // The first statement of a connection also reads the settings of its session.
    const own = proxy.statements.filter((text) => !text.startsWith('SELECT differs'));
    return own.map((text) => /^[A-Z]+/.exec(text)?.[0]);
  };
  const lease = await take(t, opened);
  t.deepEqual(await sent(lease), ['UPDATE', 'SELECT']);
  await lease.run(() => opened.database.query('SELECT id FROM notes'));
  t.deepEqual(await sent(lease), ['UPDATE', 'SELECT'], 'a read opens no transaction');
  await lease.run(() => opened.database.query(insert, [1]));
  t.deepEqual(await sent(lease), ['SELECT']);
  await lease.complete(reply('done'));
  const transaction = await take(t, opened, request({ atomicity: 'TRANSACTION' }));
  t.deepEqual(await sent(transaction), ['SELECT']);
  await transaction.complete(reply('done'));
  t.deepEqual(await sent(transaction), ['SELECT']);
});

for (const when of ['before', 'after'] as const) {
  test.serial(
    `postgres: a renewal fails as unavailable if its connection is cut ${when} the statement runs, and then succeeds`,
    async (t) => {
      const { opened, proxy } = await behindProxy(t);
      const claim = await take(t, opened);
      proxy.cutAt(/^UPDATE replay_guard_records/, when);
      await t.throwsAsync(claim.renew(), unavailable);
      t.false(claim.lost.aborted);
      await claim.renew();
      await claim.complete(reply('done'));
    },
  );
}

test.serial(
  'postgres: renewals fail as unavailable while the database is down, and then succeed',
  async (t) => {
    const { opened, proxy } = await behindProxy(t);
    const claim = await take(t, opened);
    proxy.down();
    for (let count = 0; count < 3; count++) await t.throwsAsync(claim.renew(), unavailable);
    t.false(claim.lost.aborted);
    proxy.up();
    await claim.renew();
    await claim.run(() => opened.database.query(insert, [1]));
    await claim.complete(reply('done'));
  },
);

test.serial(
  'postgres: a renewal fails as unavailable if another transaction keeps the record locked, and then succeeds',
  async (t) => {
    const data = await emptied(t, 'postgres');
    const opened = await openOn(data, { unitLimitMs: 60_000, lockTimeoutMs: 50 });
    const claim = await take(t, opened);
    await opened.database.transaction(async () => {
      await opened.database.query(`SELECT id ${ofTenant} FOR UPDATE`);
      await t.throwsAsync(claim.renew(), unavailable);
    });
    t.false(claim.lost.aborted);
    await claim.renew();
    await claim.complete(reply('done'));
  },
);
