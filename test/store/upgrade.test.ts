import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { type ClaimRequest, type OpenStore, SequenceWindow } from 'grpc-replay-guard/store';
import { migrate } from '#library/database/migrate.js';
import { schema as postgresSchema } from '#library/store/postgres/records.js';
import { schema as sqliteSchema } from '#library/store/sqlite/records.js';
import { claimed, completed, digest, hour, inProgress, reply, request } from '../contracts/store/requests.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { type DataSource, engines } from '../helpers/databases/engines.js';
import { type EarlierServer, openEarlierServer } from '../helpers/stores/version-0-1.js';

const emptied = emptiedData(test);
const schemas = { sqlite: sqliteSchema, postgres: postgresSchema };
/** The number of migration steps of version 0.1. */
const FORMER_STEPS = 6;

const key = (changes: Partial<ClaimRequest> = {}) =>
  request({ retentionMs: hour, leaseMs: hour, ...changes });

function at(sequence: number, producer: string, changes: Partial<ClaimRequest> = {}): ClaimRequest {
  const series = { id: digest(producer), epoch: 3n, sequence: BigInt(sequence) };
  return key({ id: digest(`${producer} ${sequence}`), series, ...changes });
}

const seriesOf = ({ scope }: ClaimRequest, producer: string) => ({ scope, id: digest(producer) });

/** Executes the sequences from 0 to `last` with version 0.1. */
async function executeSeries(earlier: EarlierServer, producer: string, last: number, scope = 'tenant') {
  let window = Buffer.alloc(0);
  for (let sequence = 0; sequence <= last; sequence++) {
    const operation = at(sequence, producer, { scope });
    const { fingerprint } = operation;
    const kept = { fingerprint, reply: reply(`reply ${sequence}`) };
    window = SequenceWindow.read(window, BigInt(sequence - 1)).with(BigInt(sequence), kept) as typeof window;
    await earlier.execute(operation, window);
  }
}

interface Upgrade {
  readonly data: DataSource;
  readonly earlier: EarlierServer;
  /** Opens a server of this version, which migrates the database. */
  upgrade(): Promise<OpenStore>;
}

// A database of version 0.1 is migrated when a server of this version opens it.
for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext, upgrade: Upgrade) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, async (t) => {
      const data = await emptied(t, engine);
      const earlier = await openEarlierServer(t, data.url);
      await earlier.migrate();
      await check(t, { data, earlier, upgrade: () => data.open() });
    });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: a completed key replays the same bytes`, async (t, { earlier, upgrade }) => {
      const operations = Array.from({ length: 20 }, () => key({ scope: randomUUID(), atomicity }));
      for (const operation of operations) await earlier.execute(operation, reply(operation.scope));
      const { store } = await upgrade();
      for (const operation of operations) {
        const result = completed(t, await store.claim(operation));
        t.deepEqual([result.reply, result.fingerprint], [reply(operation.scope), operation.fingerprint]);
        t.is(completed(t, await store.find(operation)).expiresAtMs, result.expiresAtMs);
      }
    });
  }

  it('a valid lease is respected, and a lease that ran out is taken over', async (t, {
    earlier,
    upgrade,
  }) => {
    const [running, expired, twice] = [key(), key({ leaseMs: 0 }), key({ leaseMs: 0 })];
    const owner = await earlier.claim(running);
    const lost = await earlier.claim(expired);
    await earlier.claim(twice);
    t.is((await earlier.claim(twice))?.claimed, -1n);
    const { store, database } = await upgrade();
    inProgress(t, await store.claim(running));
    for (const operation of [expired, twice]) {
      const claim = claimed(t, await store.claim({ ...operation, leaseMs: hour }));
      t.true(claim.takenOver);
      await claim.complete(reply('new'));
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('new'));
    }
    t.false(await earlier.complete(expired, lost ?? {}, reply('too late')));
    // An execution of version 0.1 that outlives its server stores its reply under its fence.
    t.true(await earlier.complete(running, owner ?? {}, reply('earlier')));
    t.deepEqual(completed(t, await store.claim(running)).reply, reply('earlier'));
    t.is((await database.query('SELECT state FROM replay_guard_records')).length, 3);
  });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: an erased key never executes again`, async (t, { data, earlier, upgrade }) => {
      const operations = Array.from({ length: 4 }, () => key({ atomicity }));
      for (const operation of operations) await earlier.execute(operation, reply('secret'));
      t.is(await earlier.eraseScope('tenant'), 4);
      const { store, database } = await upgrade();
      const { store: other } = await data.open();
      const [first, second, third, fourth] = operations as [
        ClaimRequest,
        ClaimRequest,
        ClaimRequest,
        ClaimRequest,
      ];
      t.is((await store.find(first))?.outcome, 'erased');
      const racing = [store, other, store, other].map((server) => server.claim(second));
      for (const result of await Promise.all(racing)) t.is(result.outcome, 'erased');
      for (const server of [other, store])
        for (const operation of [first, second, third])
          t.is((await server.claim(operation)).outcome, 'erased');
      t.is((await store.claim({ ...third, fingerprint: digest('changed') })).outcome, 'erased');
      t.is(await store.countLive('tenant', 10), 0);
      t.is((await store.erase('tenant', 10)).erased, 0);
      // A server that opens later also finds the record that no call has asked for.
      const { store: latest } = await data.open();
      t.is((await latest.claim(fourth)).outcome, 'erased');
      await database.query('UPDATE replay_guard_records SET expires_at = 0');
      await claimed(t, await other.claim(first)).complete(reply('new'));
      t.is((await store.purge(10)).purged, 3);
      await claimed(t, await latest.claim(fourth)).complete(reply('new'));
    });
  }

  it('an expired erased key that no call has asked for is purged or claimed anew', async (t, {
    earlier,
    upgrade,
  }) => {
    const [purged, again] = [key({ retentionMs: -1 }), key({ retentionMs: -1 })];
    for (const operation of [purged, again]) await earlier.execute(operation, reply('secret'));
    await earlier.eraseScope('tenant');
    const { store } = await upgrade();
    const claim = claimed(t, await store.claim({ ...again, retentionMs: hour }));
    t.false(claim.takenOver);
    t.is((await store.purge(10)).purged, 1);
    await claim.complete(reply('new'));
    t.is(await store.find(purged), undefined);
    t.is((await store.purge(10)).purged, 0);
    t.deepEqual(completed(t, await store.claim(again)).reply, reply('new'));
  });

  it('a record in each state is purged when it has expired', async (t, { earlier, upgrade }) => {
    await earlier.claim(key({ retentionMs: -1 }));
    await earlier.execute(key({ retentionMs: -1 }), reply('old'));
    const live = key();
    await earlier.execute(live, reply('live'));
    const { store } = await upgrade();
    t.is((await store.purge(10)).purged, 2);
    completed(t, await store.find(live));
  });

  it('a series continues, and its window replays', async (t, { earlier, upgrade }) => {
    await executeSeries(earlier, 'idle', 6);
    await executeSeries(earlier, 'running', 2);
    const running = await earlier.claim(at(3, 'running'));
    const { store } = await upgrade();
    for (let sequence = 2; sequence <= 6; sequence++) {
      const result = completed(t, await store.claim(at(sequence, 'idle')));
      t.deepEqual(result.reply, reply(`reply ${sequence}`));
    }
    t.deepEqual(await store.claim(at(1, 'idle')), { outcome: 'outdated' });
    await claimed(t, await store.claim(at(7, 'idle'))).complete(reply('reply 7'));
    t.is((await store.findProducer(seriesOf(key(), 'idle')))?.completed, 7n);
    inProgress(t, await store.claim(at(3, 'running')));
    t.is((await store.findProducer(seriesOf(key(), 'running')))?.running?.sequence, 3n);
    t.truthy(running);
  });

  it('an erased series continues, and its erased sequences do not execute again', async (t, {
    data,
    earlier,
    upgrade,
  }) => {
    await executeSeries(earlier, 'erased', 4);
    await executeSeries(earlier, 'interrupted', 1);
    await earlier.claim(at(2, 'interrupted', { leaseMs: 0 }));
    await executeSeries(earlier, 'found', 1);
    t.is(await earlier.eraseScope('tenant'), 3);
    const { store } = await upgrade();
    const { store: other } = await data.open();
    for (const sequence of [0, 3, 4])
      t.deepEqual(await store.claim(at(sequence, 'erased')), { outcome: 'outdated' });
    t.like(await other.claim(at(6, 'erased')), { outcome: 'gap', expected: 5n });
    await claimed(t, await other.claim(at(5, 'erased'))).complete(reply('five'));
    t.deepEqual(completed(t, await store.claim(at(5, 'erased'))).reply, reply('five'));
    t.is((await other.findProducer(seriesOf(key(), 'found')))?.completed, 1n);
    const claim = claimed(t, await store.claim(at(2, 'interrupted', { leaseMs: hour })));
    t.true(claim.takenOver);
    await claim.complete(reply('two'));
    t.deepEqual(completed(t, await other.claim(at(2, 'interrupted'))).reply, reply('two'));
  });

  it('counts and erasures affect the records of their scope', async (t, { earlier, upgrade }) => {
    for (const scope of ['one', 'one', 'two']) await earlier.execute(key({ scope }), reply('kept'));
    await executeSeries(earlier, 'producer', 1, 'one');
    const { store } = await upgrade();
    t.deepEqual([await store.countLive('one', 10), await store.countLive('two', 10)], [3, 1]);
    t.is((await store.erase('one', 2)).erased, 2);
    t.is(await store.countLive('one', 10), 1);
    t.is((await store.erase('one', 10)).erased, 1);
    t.is(await store.countLive('two', 10), 1);
  });

  if (engine === 'postgres') {
    it('indexes that were built before the migration become the primary keys', async (t, {
      earlier,
      upgrade,
    }) => {
      const operation = key();
      await earlier.execute(operation, reply('kept'));
      const indexes = async () => {
        const text = `SELECT indexrelid::bigint AS oid FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
          WHERE relname IN ('replay_guard_records', 'replay_guard_producers') AND indkey::text LIKE '% %'
          ORDER BY oid`;
        return earlier.engine.run({ text, params: [] });
      };
      for (const table of ['replay_guard_records', 'replay_guard_producers']) {
        const text = `CREATE UNIQUE INDEX CONCURRENTLY ${table}_address ON ${table} (scope, id)`;
        await earlier.engine.run({ text, params: [] });
      }
      const built = await indexes();
      t.is(built.length, 2);
      const { store } = await upgrade();
      t.deepEqual(await indexes(), built);
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('kept'));
    });
  }

  it('several servers migrate the database at the same time', async (t, { data, earlier }) => {
    const operation = key();
    await earlier.execute(operation, reply('kept'));
    const opened = await Promise.all([1, 2, 3, 4].map(() => data.open()));
    for (const { store } of opened)
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('kept'));
    const [version] = await earlier.engine.run({
      text: 'SELECT version FROM replay_guard_schema',
      params: [],
    });
    t.is(version?.version, BigInt(schemas[engine].length));
  });

  it('a migration that stops after any of its steps changes nothing, and the next start migrates', async (t, {
    earlier,
    upgrade,
  }) => {
    const [operation, erased] = [key(), key({ scope: 'erased' })];
    for (const each of [operation, erased]) await earlier.execute(each, reply('kept'));
    await earlier.eraseScope('erased');
    const steps = schemas[engine];
    for (let count = FORMER_STEPS; count <= steps.length; count++) {
      const stopping = migrate(earlier.engine, 'grpc-replay-guard', [
        ...steps.slice(0, count),
        'SELECT stop',
      ]);
      await t.throwsAsync(stopping, { any: true });
      // The earlier server still serves.
      t.is(await earlier.claim(operation), undefined);
    }
    const { store } = await upgrade();
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('kept'));
    t.is((await store.claim(erased)).outcome, 'erased');
  });

  it('a server of version 0.1 that starts again is refused', async (t, { earlier, upgrade }) => {
    const operation = key();
    await earlier.execute(operation, reply('kept'));
    await executeSeries(earlier, 'producer', 1);
    const { store } = await upgrade();
    const fresh = key();
    for (const each of [operation, fresh, at(2, 'producer'), at(0, 'another')])
      await t.throwsAsync(earlier.claim(each), { any: true, message: /ON CONFLICT/ });
    // An erasure that deletes the scope would make the key executable again.
    await t.throwsAsync(earlier.eraseScope('tenant'), { any: true, message: /scope/ });
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('kept'));
    t.deepEqual(completed(t, await store.claim(at(1, 'producer'))).reply, reply('reply 1'));
    t.is(await store.find(fresh), undefined);
  });
}
