import test, { type ExecutionContext } from 'ava';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { ClaimRequest, IdempotencyStore } from 'grpc-replay-guard/store';
import { claimed, completed, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

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
    t.is(await store.purge(10), 0);
    inProgress(t, await store.find(operations[0].id));
    t.is((await store.find(operations[1].id))?.outcome, 'erased');
    completed(t, await store.find(operations[2].id));
    await advance(1);
    t.is(await store.purge(10), 3);
    await running.release();
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
      let purged = 0;
      for (let batch = 7; batch > 0; purged += batch) batch = await insist(() => server.purge(7));
      return purged;
    };
    const execute = async (operation: ClaimRequest) => {
      let result = await insist(() => other.claim(operation));
      // No other execution has these keys. The record is being purged, or the database is busy.
      while (result.outcome === 'in-progress') result = await insist(() => other.claim(operation));
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
    t.true(purged.every((count) => count + rest <= 60) && (purged[0] ?? 0) + (purged[1] ?? 0) + rest >= 40);
    // A purge may be deleting an expired key at this moment. A new key is always granted.
    const kept = executed.flat();
    t.true(fresh.every((operation) => kept.includes(operation)));
    for (const operation of kept)
      t.deepEqual(completed(t, await store.find(operation.id)).reply, reply('new'));
    completed(t, await store.find(long.id));
    t.is(await store.countLive('tenant', 100), kept.length + 2);
    await running.complete(reply('kept'));
  });
}
