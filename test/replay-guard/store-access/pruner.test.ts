import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore, PurgedBatch } from 'grpc-replay-guard/store';
import { Registry } from 'prom-client';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type Engine, engines } from '../../helpers/databases/engines.js';
import { type Ledger, methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { RecordingObserver } from '../../helpers/servers/recording-observer.js';
import { copyRecord } from '../../helpers/stores/copy-record.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);
const LONG_AGO = 1;
const total = (purged: readonly number[]) => purged.reduce((sum, count) => sum + count, 0);

const records = async ({ database }: Ledger) =>
  (await database.query('SELECT state FROM replay_guard_records')).length;

for (const engine of engines) {
  test.serial(
    `${engine}: the pruner deletes 2,000 expired records and no other while calls are served`,
    async (t) => {
      const barrier = new Barrier();
      const ledger = await openLedger(t, await emptied(t, engine), {
        guard: { purgeEveryMs: 20 },
        engine: { unitLimitMs: 60_000 },
        handlers: () =>
          onBoth(async (account, callback) => {
            if (account === 'held') await barrier.pass();
            callback(null, { entryId: account });
          }),
      });
      // A failed test must not wait for the held handlers.
      t.teardown(() => barrier.open());
      const first = await ledger.append('before', { account: 'alice' });
      const held = ledger.transfer('held', { from: 'held' });
      await barrier.reached();
      await copyRecord(ledger.database, engine, 2_000, LONG_AGO);
      let done = false;
      const client = async (name: number) => {
        for (let i = 0; !done; i++)
          for (const method of methods)
            t.like(await ledger.ask(method, `key-${name}-${i}`), { code: status.OK, replayed: false });
      };
      const clients = [1, 2, 3, 4].map(client);
      await poll('the purge', () => total(ledger.outcomes.purged) >= 2_000);
      done = true;
      await Promise.all(clients);
      t.is(total(ledger.outcomes.purged), 2_000);
      t.true(
        ledger.outcomes.purged.every((count) => count <= 1_000),
        ledger.outcomes.purged.join(),
      );
      t.like(await ledger.append('before', { account: 'alice' }), { bytes: first.bytes, replayed: true });
      t.like(await ledger.append('key-1-0'), { replayed: true });
      barrier.open();
      t.like(await held, { code: status.OK, replayed: false });
      t.is(await records(ledger), ledger.outcomes.count('executed'), 'every executed call has a record');
      t.deepEqual(
        ledger.outcomes.uses.filter(({ error }) => error !== undefined),
        [],
      );
    },
  );

  test.serial(
    `${engine}: a call with an expired key is a new operation, whether or not the key is purged`,
    async (t) => {
      const ledger = await openLedger(t, await emptied(t, engine));
      for (const purged of [false, true]) {
        for (const method of methods) {
          const key = `${method}-${purged}`;
          const first = await ledger.ask(method, key, 'alice');
          await ledger.database.query('UPDATE replay_guard_records SET expires_at = $1', [LONG_AGO]);
          if (purged) await ledger.store.purge(10);
          // Another payload is accepted, because the first operation is no longer known.
          const second = await ledger.ask(method, key, 'bob');
          t.like(second, { code: status.OK, replayed: false });
          t.notDeepEqual(second.bytes, first.bytes);
          t.like(await ledger.ask(method, key, 'bob'), { bytes: second.bytes, replayed: true });
        }
      }
      t.is((await ledger.effects()).length, 8);
    },
  );

  test.serial(
    `${engine}: metrics report the purged records, the remaining records and the duration of a purge`,
    async (t) => {
      const register = new Registry();
      const scrape = async (name: string) => {
        const lines = (await register.metrics())
          .split('\n')
          .filter((line) => line.startsWith(`replay_guard_${name}`));
        return lines.map((line) => Number(line.split(' ').at(-1)));
      };
      const ledger = await openLedger(t, await emptied(t, engine), {
        guard: { purgeEveryMs: 20, observer: createPrometheusObserver(register) },
      });
      await ledger.append('key');
      await copyRecord(ledger.database, engine, 700, LONG_AGO);
      await poll('the purge', async () => (await scrape('purged_total'))[0] === 700);
      const [purges] = await scrape('store_duration_seconds_count{operation="purge"}');
      t.true(Number(purges) >= 2);
      // The estimate of Postgres changes only when its statistics are updated.
      if (engine === 'sqlite') await poll('the count', async () => (await scrape('records'))[0] === 1);
    },
  );
}

test.serial('postgres: servers that purge at the same time delete each record once', async (t) => {
  const data = await emptied(t, 'postgres');
  const { store, database } = await data.open();
  const first = await openLedger(t, data);
  await first.append('key');
  await copyRecord(database, 'postgres', 2_000, LONG_AGO);
  const observers = [new RecordingObserver(), new RecordingObserver(), new RecordingObserver()];
  for (const observer of observers) {
    const guard = createReplayGuard({ store, scope: singleTenant(), observer, purgeEveryMs: 1 });
    t.teardown(() => guard.close());
  }
  const purged = () => observers.map((observer) => total(observer.purged));
  await poll('the purge', () => total(purged()) >= 2_000);
  t.is(total(purged()), 2_000);
  for (const { uses } of observers)
    t.deepEqual(
      uses.filter(({ error }) => error !== undefined),
      [],
    );
  t.like(await first.append('key'), { replayed: true });
});

/** Opens a store in which each deletion of a record takes long: 1 ms on SQLite, 5 ms on Postgres. */
async function openSlow(t: ExecutionContext, engine: Engine): Promise<OpenStore> {
  if (engine === 'sqlite') {
    const handle = new Sqlite(':memory:');
    const opened = await openSqlite({ database: handle });
    t.teardown(opened.close);
    handle.function('slow', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1));
    handle.exec('CREATE TRIGGER slow BEFORE DELETE ON replay_guard_records BEGIN SELECT slow(); END');
    return opened;
  }
  const opened = await (await emptied(t, engine)).open();
  for (const text of [
    `CREATE FUNCTION slow() RETURNS TRIGGER LANGUAGE plpgsql AS
     'BEGIN PERFORM pg_sleep(0.005); RETURN OLD; END'`,
    `CREATE TRIGGER slow BEFORE DELETE ON replay_guard_records FOR EACH ROW EXECUTE FUNCTION slow()`,
  ])
    await opened.database.query(text);
  return opened;
}

for (const engine of engines) {
  test.serial(`${engine}: slow deletions make the batches small`, async (t) => {
    const opened = await openSlow(t, engine);
    const ledger = await openLedger(t, engine, { opened });
    await ledger.append('key');
    await copyRecord(opened.database, engine, 200, LONG_AGO);
    const observer = new RecordingObserver();
    const { store } = opened;
    const guard = createReplayGuard({ store, scope: singleTenant(), observer, purgeEveryMs: 1 });
    t.teardown(() => guard.close());
    await poll('four batches', () => observer.purged.length >= 4);
    t.deepEqual(observer.purged.slice(0, 4), [100, 25, 10, 10]);
  });
}

/** A store whose purges return the results that the test provides. */
class PurgedStore extends PassingStore {
  batches: (() => Promise<PurgedBatch>)[] = [];
  readonly limits: number[] = [];
  readonly positions: (string | undefined)[] = [];
  /** When each purge began. */
  readonly startsMs: number[] = [];
  override async purge(limit: number, after?: string) {
    this.limits.push(limit);
    this.positions.push(after);
    this.startsMs.push(performance.now());
    return (await this.batches.shift()?.()) ?? { purged: 0, busyMs: 0, blocksCalls: true };
  }
}

/** Returns a full batch that took `busyMs`. */
const full =
  (purged: number, busyMs: number, next = 'next', blocksCalls = true) =>
  async () => ({ purged, busyMs, next, blocksCalls });
/** Returns the last batch of a run. */
const last = (purged: number) => async () => ({ purged, busyMs: 1, blocksCalls: true });

function guarded(t: ExecutionContext, ...batches: (() => Promise<PurgedBatch>)[]) {
  const store = new PurgedStore(new MemoryStore());
  store.batches = batches;
  const observer = new RecordingObserver();
  const guard = createReplayGuard({ store, scope: singleTenant(), observer, purgeEveryMs: 5 });
  t.teardown(() => guard.close());
  return { store, guard, observer };
}

test('a failed purge is followed by further purges', async (t) => {
  const fails = async () => {
    throw new DatabaseUnavailableError('on purpose');
  };
  const { observer } = guarded(t, full(500, 1), fails, fails, last(3));
  await poll('a later purge succeeds', () => total(observer.purged) === 503);
  t.is(observer.uses.filter(({ error }) => error !== undefined).length, 2);
});

test('a closing guard waits for the current batch, and no other batch starts', async (t) => {
  const barrier = new Barrier();
  const { store, guard, observer } = guarded(t, () => barrier.pass().then(full(100, 1)));
  await barrier.reached();
  let closed = false;
  const closing = guard.close().then(() => {
    closed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.false(closed);
  barrier.open();
  await closing;
  t.deepEqual([store.limits, observer.purged], [[100], [100]]);
});

test('a batch shrinks when it is slow and grows when it is fast, within bounds', async (t) => {
  const slow = Array.from({ length: 4 }, () => full(1, 40));
  const fast = Array.from({ length: 9 }, () => full(1, 0.01));
  const { store } = guarded(t, ...slow, ...fast, full(1, 6), last(1));
  await poll('the run', () => store.limits.length >= 15);
  t.deepEqual(
    store.limits.slice(0, 15),
    [100, 25, 10, 10, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000, 500],
  );
});

test('a batch that blocks no calls may take ten times longer', async (t) => {
  const { store } = guarded(t, full(1, 60, 'next', false), full(1, 20, 'next', false), last(1));
  await poll('the run', () => store.limits.length >= 3);
  t.deepEqual(store.limits.slice(0, 3), [100, 50, 75]);
});

test('a batch that was not full does not grow the next batch', async (t) => {
  const { store } = guarded(t, last(5), last(5));
  await poll('three runs', () => store.limits.length >= 3);
  t.deepEqual(store.limits.slice(0, 3), [100, 100, 100]);
});

test('the pruner pauses after each batch for three times its duration', async (t) => {
  const { store } = guarded(t, full(1, 20), full(1, 30), last(1));
  await poll('the run', () => store.startsMs.length >= 3);
  const [first = 0, second = 0, third = 0] = store.startsMs;
  // A timer of Node may fire up to one millisecond early.
  t.true(second - first >= 59, `${second - first}`);
  t.true(third - second >= 89, `${third - second}`);
});

test('a run continues at the position of its previous batch, and the next run starts from the beginning', async (t) => {
  const { store } = guarded(t, full(1, 0, 'a'), full(1, 0, 'b'), last(1), full(1, 0, 'c'), last(1));
  await poll('two runs', () => store.positions.length >= 5);
  t.deepEqual(store.positions.slice(0, 5), [undefined, 'a', 'b', undefined, 'c']);
});

test('a closing guard does not wait for the pause after a batch', async (t) => {
  const { store, guard, observer } = guarded(t, full(1, 60_000));
  await poll('the first batch', () => observer.purged.length === 1);
  await guard.close();
  t.is(store.limits.length, 1);
});

test('memory: the pruner deletes expired records and no other', async (t) => {
  let now = Date.now();
  const store = new MemoryStore({ clock: () => now });
  const opened = { store } as unknown as OpenStore;
  const ledger = await openLedger(t, 'memory', { opened, guard: { retentionMs: 60_000, purgeEveryMs: 5 } });
  for (let i = 0; i < 20; i++) await ledger.append(`old-${i}`);
  now += 60_000;
  await poll('the purge', () => total(ledger.outcomes.purged) === 20);
  t.like(await ledger.append('old-0'), { code: status.OK, replayed: false });
  t.is(await store.estimateRecords(), 1);
});
