import test, { type ExecutionContext } from 'ava';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { ClaimRequest, IdempotencyStore } from 'grpc-replay-guard/store';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';
import { claimed, completed, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

type SqlSubject = StoreSubject & Required<Pick<StoreSubject, 'database'>>;

/** Retries while the database is busy, as servers do. */
async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError)) throw error;
    }
  }
}

// A purge deletes expired records in bounded batches, and no other records.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  it('a record in any state is purged from the moment of its expiry', async (t, { store, advance }) => {
    const operations = [request(), request(), request()] as const;
    const running = claimed(t, await store.claim(operations[0]));
    await claimed(t, await store.claim(operations[1])).complete(reply('done'));
    await store.erase('tenant', 1);
    await claimed(t, await store.claim(operations[2])).fail(reply('failed'));
    await advance(hour - 1);
    t.is((await store.purge(10)).purged, 0);
    inProgress(t, await store.find(operations[0]));
    t.is((await store.find(operations[1]))?.outcome, 'erased');
    completed(t, await store.find(operations[2]));
    await advance(1);
    t.is((await store.purge(10)).purged, 3);
    await running.release();
  });

  it('a run of batches deletes each expired record once', async (t, { store, advance }) => {
    for (let index = 0; index < 11; index++) {
      const operation = request({ retentionMs: 15 * minute + index * 1_000 });
      await claimed(t, await store.claim(operation)).complete(reply('kept'));
    }
    await advance(15 * minute + 9_000);
    const purged: number[] = [];
    let next: string | undefined;
    do {
      const batch = await store.purge(4, next);
      t.true(batch.busyMs >= 0);
      purged.push(batch.purged);
      next = batch.next;
    } while (next !== undefined);
    t.deepEqual(purged, [4, 4, 2]);
    t.is(await store.countLive('tenant', 100), 1);
  });

  it('purges, claims and renewals run at the same time', async (t, { store, other, advance }) => {
    const keep = async (operation: ClaimRequest) =>
      claimed(t, await store.claim(operation)).complete(reply('kept'));
    const requests = (count: number) =>
      Array.from({ length: count }, () => request({ retentionMs: 15 * minute }));
    const long = request({ retentionMs: hour });
    await keep(long);
    const running = claimed(t, await store.claim(request()));
    const expired = requests(60);
    for (const operation of expired) await keep(operation);
    await advance(15 * minute);
    const purge = async (server: IdempotencyStore) => {
      let [purged, next]: [number, string | undefined] = [0, undefined];
      do {
        const batch = await insist(() => server.purge(7, next));
        purged += batch.purged;
        next = batch.next;
      } while (next !== undefined);
      return purged;
    };
    const execute = async (operation: ClaimRequest) => {
      let result = await insist(async () => other.claim(operation));
      // No other execution has these keys. The record is being purged, or the database is busy.
      while (result.outcome === 'in-progress') result = await insist(async () => other.claim(operation));
      if (result.outcome === 'claimed') await result.claim.complete(reply('new'));
      return result.outcome === 'claimed' ? [operation] : [];
    };
    const [fresh, again] = [requests(20), expired.slice(0, 20)];
    const [purged, executed] = await Promise.all([
      Promise.all([purge(store), purge(other)]),
      Promise.all([...again, ...fresh].map(execute)),
      insist(() => running.renew()),
    ]);
    const rest = await purge(store);
    t.is((await store.purge(7)).purged, 0);
    t.true(purged.every((count) => count + rest <= 60) && (purged[0] ?? 0) + (purged[1] ?? 0) + rest >= 40);
    // A purge may be deleting an expired key at this moment. A new key is always granted.
    const kept = executed.flat();
    t.true(fresh.every((operation) => kept.includes(operation)));
    for (const operation of kept) t.deepEqual(completed(t, await store.find(operation)).reply, reply('new'));
    completed(t, await store.find(long));
    t.is(await store.countLive('tenant', 100), kept.length + 2);
    await running.complete(reply('kept'));
  });
}

for (const name of ['sqlite', 'postgres'] as const) {
  const it = (title: string, check: (t: ExecutionContext, subject: SqlSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, (await subjects(t, name)) as SqlSubject));

  /** Keeps records that expire one second after another, in this order. */
  const keepInOrder = async (t: ExecutionContext, { store }: SqlSubject, count: number) => {
    const operations = Array.from({ length: count }, (_, index) =>
      request({ retentionMs: 15 * minute + index * 1_000 }),
    );
    for (const operation of operations)
      await claimed(t, await store.claim(operation)).complete(reply('kept'));
    return operations;
  };
  const setExpiry = ({ database }: SqlSubject, { id }: ClaimRequest, expiresAtMs: number) =>
    database.query('UPDATE replay_guard_records SET expires_at = $1 WHERE id = $2', [
      expiresAtMs,
      id.subarray(0, 16),
    ]);

  it('a batch starts at the position of the previous batch, and the next run from the beginning', async (t, subject) => {
    const { store, advance, now } = subject;
    const operations = await keepInOrder(t, subject, 5);
    await advance(hour);
    const { purged, next } = await store.purge(3);
    t.is(purged, 3);
    await setExpiry(subject, operations[4] as ClaimRequest, now() - 50 * minute);
    t.like(await store.purge(10, next), { purged: 1, next: undefined });
    t.like(await store.purge(10), { purged: 1, next: undefined });
  });

  it('a record that is renewed between the selection and the deletion is kept', async (t, subject) => {
    const { store, database, advance, now } = subject;
    const [operation] = (await keepInOrder(t, subject, 1)) as [ClaimRequest];
    for (let round = 0; round < 5; round++) {
      await setExpiry(subject, operation, now());
      const written = new Barrier();
      const renewal = database.transaction(async () => {
        await setExpiry(subject, operation, now() + hour);
        await written.pass();
      });
      await written.reached();
      let hasEnded = false;
      const purge = store.purge(10).finally(() => {
        hasEnded = true;
      });
      if (name === 'postgres') {
        const waiting = `SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        await poll(
          'the deletion waits for the record, or has skipped it',
          async () => hasEnded || (await database.query(waiting)).length > 0,
        );
      }
      written.open();
      await renewal;
      t.is((await purge).purged, 0);
      completed(t, await store.find(operation));
      await advance(1);
    }
  });
}
