import test from 'ava';
import { createReplayGuard, executionSignal, singleTenant } from 'grpc-replay-guard';
import type { Database } from 'grpc-replay-guard/database';
import { createOutbox, createRelay, migrateOutbox } from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { RepeatingTask } from 'grpc-replay-guard/timing';
import pg from 'pg';
import { Deadlines } from '#library/timing/deadlines.js';
import type { MaybePromise } from '#library/timing/maybe-promise.js';
import { freshData } from '../helpers/databases/engines.js';
import { methods, onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../helpers/stores/passing-store.js';
import { poll } from '../helpers/waiting/poll.js';

interface Surroundings {
  readonly url: string;
  readonly database: Database;
  readonly store: PassingStore;
  /** Notes whether the current context belongs to the call. */
  work(): void;
}

/** Creates and starts a part, which works later. Returns a function that stops the part. */
type Part = (surroundings: Surroundings) => MaybePromise<(() => void | Promise<void>) | undefined>;

const parts: Record<string, Part> = {
  'a repeating task': ({ work }) => {
    const task = new RepeatingTask({ run: async () => work(), intervalMs: 1, onError: () => {} });
    task.start('after-interval');
    return () => task.stop();
  },
  'a deadline': ({ work }) => {
    new Deadlines().set(1, work);
    return undefined;
  },
  'the pruner of a guard': ({ store, work }) => {
    store.purge = async () => {
      work();
      return { purged: 0, busyMs: 0, blocksCalls: false };
    };
    const guard = createReplayGuard({ store, scope: singleTenant(), purgeEveryMs: 1 });
    return async () => void (await guard.close());
  },
  'a relay': async ({ database, work }) => {
    const outbox = createOutbox({ database, routes: { note: ['desk'] } });
    const note = async () => work();
    const relay = createRelay({ outbox, destinations: { desk: { deliveries: { note } } }, pollMs: 1 });
    relay.start();
    await outbox.append({ type: 'note', aggregate: 'a', payload: {} });
    return () => relay.stop();
  },
  'wake-ups from Postgres': ({ work }) => {
    // Nothing listens at the port. Each connection that fails is reported, and a timer opens the next one.
    const wakeUps = createPostgresWakeUps({ client: { host: '127.0.0.1', port: 1 }, onError: work });
    wakeUps.start(() => {});
    return () => wakeUps.stop();
  },
  'a connection of a pool': async ({ url, work }) => {
    const pool = new pg.Pool({ connectionString: url });
    pool.on('connect', work);
    await openPostgres({ pool });
    return () => pool.end();
  },
};

for (const method of methods) {
  test(`${method}: parts that are created inside a guarded call work outside of it`, async (t) => {
    const data = await freshData(t, 'postgres');
    const opened = await data.open();
    const { database } = opened;
    await migrateOutbox(database);
    const isInside = () => {
      try {
        database.afterCommit(() => {});
        return true;
      } catch (error) {
        return executionSignal() !== undefined || !/must be called inside/.test(String(error));
      }
    };
    const worked = new Map<string, boolean[]>();
    const ledger = await openLedger(t, 'postgres', {
      opened,
      handlers: () =>
        onBoth(async (_account, callback) => {
          t.true(isInside());
          for (const [name, part] of Object.entries(parts)) {
            const seen: boolean[] = [];
            worked.set(name, seen);
            const work = () => seen.push(isInside());
            const stop = await part({ url: data.url, database, store: new PassingStore(opened.store), work });
            if (stop) t.teardown(stop);
          }
          callback(null, {});
        }),
    });
    await ledger.ask(method, 'key');
    await poll('the work of every part', () => [...worked.values()].every((seen) => seen.length > 0));
    for (const [name, seen] of worked) t.false(seen.includes(true), name);
    t.is(worked.size, Object.keys(parts).length);
  });
}

test('a guarded call on a connection that was opened inside another call is a call of its own', async (t) => {
  const data = await freshData(t, 'sqlite');
  const seen: unknown[] = [];
  const { database } = await data.open();
  await database.query('CREATE TABLE notes (id BIGINT)');
  // A server that starts inside a unit of work gives its asynchronous context to all connections.
  const ledger = await database.transaction(async () =>
    openLedger(t, 'memory', {
      handlers: () =>
        onBoth(async (_account, callback) => {
          seen.push(await database.query('INSERT INTO notes VALUES (1) RETURNING id'));
          callback(null, {});
        }),
    }),
  );
  await ledger.append('key');
  t.deepEqual(seen, [[{ id: 1n }]]);
});
