import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { OpenStore } from 'grpc-replay-guard/store';
import { Registry } from 'prom-client';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
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
        ledger.outcomes.purged.every((count) => count <= 500),
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
      const [purges] = await scrape('store_seconds_count{operation="purge"}');
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

/** A store whose purges return the results that the test provides. */
class PurgedStore extends PassingStore {
  batches: (() => Promise<number>)[] = [];
  readonly limits: number[] = [];
  override async purge(limit: number) {
    this.limits.push(limit);
    return (await this.batches.shift()?.()) ?? 0;
  }
}

function guarded(t: ExecutionContext, ...batches: (() => Promise<number>)[]) {
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
  const { observer } = guarded(
    t,
    async () => 500,
    fails,
    fails,
    async () => 3,
  );
  await poll('a later purge succeeds', () => total(observer.purged) === 503);
  t.is(observer.uses.filter(({ error }) => error !== undefined).length, 2);
});

test('a closing guard waits for the current batch, and no other batch starts', async (t) => {
  const barrier = new Barrier();
  const { store, guard, observer } = guarded(t, () => barrier.pass().then(() => 500));
  await barrier.reached();
  let closed = false;
  const closing = guard.close().then(() => {
    closed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.false(closed);
  barrier.open();
  await closing;
  t.deepEqual([store.limits, observer.purged], [[500], [500]]);
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
