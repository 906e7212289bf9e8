import test, { type ExecutionContext } from 'ava';
import { UnitOfWorkError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import type { Claim, ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import pg, { type PoolConfig } from 'pg';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { claimed, completed, inProgress, reply, request } from './requests.js';

const emptied = emptiedData(test);
const table = ['CREATE TABLE notes (id BIGINT PRIMARY KEY)'];
const insert = 'INSERT INTO notes (id) VALUES ($1)';
/** The records of the scope of all requests. A cluster locks rows of one scope only. */
const ofTenant = `FROM replay_guard_records WHERE scope = ${scopeDigest('tenant')}`;
const atomicities = ['TRANSACTION', 'LEASE'] as const;
// The time-outs are so long that a test fails if a statement waits for a lock.
const longTimeouts = { lockTimeoutMs: 60_000, unitLimitMs: 60_000 };

const take = async (t: ExecutionContext, { store }: OpenStore, operation: ClaimRequest): Promise<Claim> =>
  claimed(t, await store.claim(operation));

async function twoServers(t: ExecutionContext, maxConnections = 2) {
  const data = await emptied(t, 'postgres');
  const one = await data.open({ ...longTimeouts, maxConnections: 25 });
  await one.database.migrate('notes', table);
  return { one, other: await data.open({ ...longTimeouts, maxConnections }) };
}

/** The ways in which a server can hold the record of a key, so that another server cannot claim the key. */
const holding: Record<
  string,
  (t: ExecutionContext, opened: OpenStore, operation: ClaimRequest) => Promise<Claim>
> = {
  'a transaction that has not committed': (t, opened, operation) =>
    take(t, opened, { ...operation, atomicity: 'TRANSACTION' }),
  'a lease that has begun to write': async (t, opened, operation) => {
    const claim = await take(t, opened, { ...operation, atomicity: 'LEASE' });
    await claim.run(() => opened.database.query('DELETE FROM notes'));
    return claim;
  },
  'a lease that ran out while it writes': async (t, opened, operation) => {
    const claim = await take(t, opened, { ...operation, atomicity: 'LEASE', leaseMs: 1 });
    await claim.run(() => opened.database.query('DELETE FROM notes'));
    return claim;
  },
};

for (const [what, hold] of Object.entries(holding)) {
  const atomicity = what.includes('lease') ? 'LEASE' : 'TRANSACTION';

  test.serial(`duplicates of 20 keys held by ${what} leave a small pool usable`, async (t) => {
    const { one, other } = await twoServers(t);
    const keys = Array.from({ length: 20 }, () => request({ atomicity }));
    const held: Claim[] = [];
    for (const operation of keys) held.push(await hold(t, one, operation));
    const events: string[] = [];
    const duplicates = keys.map(async (operation) => {
      inProgress(t, await other.store.claim(operation));
      events.push('duplicate');
    });
    const fresh = await take(t, other, request({ atomicity }));
    events.push('fresh');
    await fresh.run(() => other.database.query(insert, [1]));
    await fresh.complete(reply('fresh'));
    events.push('completed');
    await Promise.all(duplicates);
    events.push('released');
    for (const claim of held) await claim.complete(reply('held'));
    t.deepEqual(
      events.filter((event) => event !== 'duplicate'),
      ['fresh', 'completed', 'released'],
    );
    for (const operation of keys)
      t.deepEqual(completed(t, await other.store.claim(operation)).reply, reply('held'));
  });
}

test.serial(
  'a claim does not wait for an owner whose lease has run out, and later finds the reply',
  async (t) => {
    const { one, other } = await twoServers(t);
    const operation = request({ leaseMs: 1 });
    const late = await take(t, one, operation);
    await late.run(() => one.database.query(insert, [1]));
    t.true(inProgress(t, await other.store.claim(operation)).leaseLeftMs <= 0);
    await late.complete(reply('late'));
    t.deepEqual(completed(t, await other.store.claim(operation)).reply, reply('late'));
  },
);

test.serial(
  'a claim that does not get the lock of its record looks it up on the same connection',
  async (t) => {
    const data = await emptied(t, 'postgres');
    const operation = request({ atomicity: 'TRANSACTION' });
    const held = await take(t, await data.open(longTimeouts), operation);
    const proxy = await startProxy(t, data.url);
    const other = await openUrl(proxy.url, longTimeouts);
    t.teardown(() => other.close());
    proxy.reset();
    inProgress(t, await other.store.claim(operation));
    const kinds = proxy.statements.map((text) => /^[A-Z]+/.exec(text)?.[0]);
    t.deepEqual(kinds, ['BEGIN', 'SET', 'INSERT', 'ROLLBACK', 'SELECT']);
    await held.release();
  },
);

for (const atomicity of atomicities) {
  test.serial(`${atomicity}: a replay does not change the record`, async (t) => {
    const { one, other } = await twoServers(t);
    const operation = request({ atomicity });
    await (await take(t, one, operation)).complete(reply('done'));
    const version = () =>
      one.database.query('SELECT xmin::text AS made, record.* FROM replay_guard_records record');
    const before = await version();
    const answers = await Promise.all(Array.from({ length: 20 }, () => other.store.claim(operation)));
    for (const answer of answers) t.deepEqual(completed(t, answer).reply, reply('done'));
    t.deepEqual(await version(), before);
  });

  test.serial(`${atomicity}: the handler's statements have the lock timeout of the pool`, async (t) => {
    const data = await emptied(t, 'postgres');
    const settings: Record<string, PoolConfig> = { '20s': { lock_timeout: 20_000 }, '0': {} };
    for (const [expected, config] of Object.entries(settings)) {
      const pool = new pg.Pool({
        connectionString: data.url,
        max: 1,
        pipeline: true,
        ...config,
      } as PoolConfig);
      pool.on('error', () => {});
      const opened = await openPostgres({ pool });
      const { database, store } = opened;
      await database.migrate('notes', table);
      const lockTimeout = async () =>
        (await database.query("SELECT current_setting('lock_timeout') AS is"))[0]?.is;
      const operation = request({ atomicity });
      const first = await take(t, opened, operation);
      t.is(await first.run(lockTimeout), expected, 'in the first statement');
      await first.complete(reply('done'));
      const nested = await take(t, opened, request({ atomicity }));
      await nested.run(async () => {
        const failed = database.transaction(async () => {
          t.is(await lockTimeout(), expected, 'in a transaction that starts the work');
          throw new Error('rolled back');
        });
        await t.throwsAsync(failed, { message: 'rolled back' });
        t.is(await lockTimeout(), expected, 'after the rollback');
      });
      await nested.release();
      completed(t, await store.claim(operation));
      t.is(await lockTimeout(), expected, 'on a connection that claimed before');
      await opened.close();
      await pool.end();
    }
  });
}

test.serial('a replay does not wait for a round trip of the rollback of its transaction', async (t) => {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url, { latencyMs: 10 });
  const { store, close } = await openUrl(proxy.url, { maxConnections: 1 });
  t.teardown(close);
  const operation = request({ atomicity: 'TRANSACTION' });
  await claimed(t, await store.claim(operation)).complete(reply('done'));
  completed(t, await store.claim(operation));
  proxy.reset();
  completed(t, await store.claim(operation));
  t.is(proxy.roundTrips, 2, 'one for the claim, one for the look-up and the rollback');
  const kinds = proxy.statements.map((text) => /^[A-Z]+/.exec(text)?.[0]);
  t.deepEqual(kinds, ['BEGIN', 'SET', 'INSERT', 'SELECT', 'ROLLBACK']);
});

test.serial('a purge skips an expired record that is being claimed anew', async (t) => {
  const { one, other } = await twoServers(t);
  const keys = Array.from({ length: 5 }, () => request({ retentionMs: 1 }));
  for (const operation of keys) await (await take(t, one, operation)).complete(reply('old'));
  const [first = request()] = keys;
  const anew = await take(t, one, { ...first, retentionMs: 3_600_000, atomicity: 'TRANSACTION' });
  t.is((await other.store.purge(100)).purged, 4);
  await anew.complete(reply('new'));
  t.is((await other.store.purge(100)).purged, 0);
  t.deepEqual(completed(t, await other.store.find(first)).reply, reply('new'));
});

test.serial('a purge skips many locked records, and the next run deletes them', async (t) => {
  const { one, other } = await twoServers(t);
  for (let index = 0; index < 60; index++) {
    await (await take(t, one, request({ retentionMs: 1 }))).complete(reply('old'));
  }
  let first = { purged: 0 };
  await one.database.transaction(async () => {
    await one.database.query(`SELECT id ${ofTenant} ORDER BY expires_at LIMIT 40 FOR UPDATE`);
    first = await other.store.purge(60);
    t.true(first.purged <= 20, `${first.purged} records were deleted`);
    t.like(await other.store.purge(10), { purged: 0, next: undefined }, 'a blocked run ends');
  });
  t.is(first.purged + (await other.store.purge(100)).purged, 60);
});

test.serial('a run of erasures goes on after locked records', async (t) => {
  const { one, other } = await twoServers(t);
  for (let index = 0; index < 6; index++) await (await take(t, one, request())).complete(reply('secret'));
  let erased = 0;
  await one.database.transaction(async () => {
    await one.database.query(`SELECT id ${ofTenant} ORDER BY id LIMIT 2 FOR UPDATE`);
    let next: string | undefined;
    do {
      const batch = await other.store.erase('tenant', 2, next);
      erased += batch.erased;
      next = batch.next;
    } while (next !== undefined);
  });
  t.is(erased, 4);
  t.is((await other.store.erase('tenant', 100)).erased, 2);
});

for (const [name, code] of [
  ['deadlock', '40P01'],
  ['serialization failure', '40001'],
]) {
  test.serial(`a purge and an erasure skip a record whose change ends in a ${name}`, async (t) => {
    const { one, other } = await twoServers(t);
    for (let index = 0; index < 8; index++) await (await take(t, one, request())).complete(reply('old'));
    const [record] = await one.database.query(
      'SELECT id FROM replay_guard_records ORDER BY id OFFSET 3 LIMIT 1',
    );
    // The server of the test may have no right to change the schema, and migrates as it can.
    const change = (name: string, ...steps: string[]) => one.database.migrate(name, steps);
    await change(
      'fail',
      `CREATE FUNCTION fail() RETURNS TRIGGER LANGUAGE plpgsql AS
      'BEGIN RAISE EXCEPTION ''on purpose'' USING ERRCODE = ''${code}''; END'`,
      `CREATE TRIGGER fail BEFORE UPDATE OR DELETE ON replay_guard_records FOR EACH ROW
      WHEN (OLD.id = '${record?.id}') EXECUTE FUNCTION fail()`,
    );
    t.is((await other.store.erase('tenant', 100)).erased, 7);
    await change('disabled', 'ALTER TABLE replay_guard_records DISABLE TRIGGER fail');
    await one.database.query('UPDATE replay_guard_records SET expires_at = 1');
    await change('enabled', 'ALTER TABLE replay_guard_records ENABLE TRIGGER fail');
    t.is((await other.store.purge(100)).purged, 7);
    await change('dropped', 'DROP TRIGGER fail ON replay_guard_records');
    t.is((await other.store.purge(100)).purged, 1);
  });
}

test.serial('an erasure skips a locked record', async (t) => {
  const { one, other } = await twoServers(t);
  for (let index = 0; index < 3; index++) await (await take(t, one, request())).complete(reply('secret'));
  await one.database.transaction(async () => {
    await one.database.query(`SELECT id ${ofTenant} LIMIT 1 FOR UPDATE`);
    t.is((await other.store.erase('tenant', 100)).erased, 2);
  });
  t.is((await other.store.erase('tenant', 100)).erased, 1);
});

// Statements that look like reads but write, before the first write of a call.
const sideEffects: Record<string, string> = {
  'a function that writes': 'SELECT note($1)',
  'a common table expression that writes':
    'WITH made AS (INSERT INTO notes (id) VALUES ($1) RETURNING id) SELECT id FROM made',
  'a comment before a function that writes': '/* hint */ SELECT note($1)',
};
for (const [what, sql] of Object.entries(sideEffects)) {
  for (const ending of ['complete', 'fail', 'release'] as const) {
    test.serial(`LEASE: ${what} belongs to the unit of work: ${ending}`, async (t) => {
      const { one, other } = await twoServers(t);
      await one.database.migrate('note', [
        `CREATE FUNCTION note(id BIGINT) RETURNS BIGINT LANGUAGE SQL AS 'INSERT INTO notes VALUES (id) RETURNING id'`,
      ]);
      const claim = await take(t, one, request());
      t.is((await claim.run(() => one.database.query(sql, [7]))).length, 1);
      const ids = () => other.database.query('SELECT id FROM notes');
      t.deepEqual(await ids(), []);
      await claim[ending](reply('done'));
      t.deepEqual(await ids(), ending === 'complete' ? [{ id: 7n }] : []);
    });
  }
}

test.serial('LEASE: a lock that a read takes is held until the claim ends', async (t) => {
  const { one, other } = await twoServers(t);
  await one.database.query(insert, [1]);
  const claim = await take(t, one, request());
  await claim.run(() => one.database.query('SELECT id FROM notes WHERE id = 1 FOR UPDATE'));
  const free = () => other.database.query('SELECT id FROM notes WHERE id = 1 FOR UPDATE SKIP LOCKED');
  t.deepEqual(await free(), []);
  await claim.complete(reply('done'));
  t.deepEqual(await free(), [{ id: 1n }]);
});

test.serial('LEASE: a read that fails before the first write rejects with its own error', async (t) => {
  const { one } = await twoServers(t);
  const claim = await take(t, one, request());
  const failing = claim.run(() => one.database.query('SELECT 1 / $1 AS none', [0]));
  t.like(await t.throwsAsync(failing), { code: '22012' });
  await t.throwsAsync(claim.complete(reply('done')), { instanceOf: UnitOfWorkError });
  await claim.release();
});
