import test, { type ExecutionContext } from 'ava';
import { claimed, completed, digest, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

// Look-ups and counts, which claim no key.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  it('a store answers a ping', async (t, { store, other }) => {
    await t.notThrowsAsync(Promise.all([store.ping(), other.ping()]));
  });

  it('a key that was never claimed is not found, and the look-up does not claim the key', async (t, {
    store,
  }) => {
    const operation = request();
    t.is(await store.find(operation), undefined);
    t.is(await store.estimateRecords(), 0);
    await claimed(t, await store.claim(operation)).release();
    t.is(await store.find(operation), undefined);
  });

  it('a key in progress is found with its age and the remaining lease', async (t, subject) => {
    const { store, other, advance } = subject;
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(4 * minute);
    const { fingerprint } = operation;
    const expected = { outcome: 'in-progress', fingerprint, ageMs: 4 * minute, leaseLeftMs: 6 * minute };
    t.deepEqual(await other.find(operation), expected as never);
    await advance(7 * minute);
    t.is(inProgress(t, await other.find(operation)).leaseLeftMs, -minute);
    await claim.complete(reply('done'));
  });

  it('the age of a key that was taken over counts from the takeover', async (t, { store, advance }) => {
    const operation = request();
    claimed(t, await store.claim(operation));
    await advance(11 * minute);
    claimed(t, await store.claim(operation));
    await advance(minute);
    const found = inProgress(t, await store.find(operation));
    t.deepEqual([found.ageMs, found.leaseLeftMs], [minute, 9 * minute]);
  });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    for (const ending of ['complete', 'fail'] as const) {
      it(`${atomicity}: a key is found with its reply after ${ending}`, async (t, { store, other, now }) => {
        const operation = request({ atomicity });
        await claimed(t, await store.claim(operation))[ending](reply('done'));
        const expiresAtMs = now() + hour;
        const { fingerprint } = operation;
        const expected = { outcome: 'completed', fingerprint, reply: reply('done'), expiresAtMs };
        t.deepEqual(await other.find(operation), expected as never);
      });
    }
  }

  it('a key is found until the moment it expires', async (t, { store, advance }) => {
    const operation = request();
    await claimed(t, await store.claim(operation)).complete(reply('done'));
    await advance(hour - 1);
    completed(t, await store.find(operation));
    await advance(1);
    t.is(await store.find(operation), undefined);
    t.is((await store.purge(10)).purged, 1);
    t.is(await store.find(operation), undefined);
  });

  if (name !== 'memory') {
    it('TRANSACTION: a key that is not committed is not found', async (t, { store, other }) => {
      const operation = request({ atomicity: 'TRANSACTION' });
      const claim = claimed(t, await store.claim(operation));
      t.is(await store.find(operation), undefined);
      t.is(await other.find(operation), undefined);
      t.is(await other.countLive('tenant', 10), 0);
      const hidden = inProgress(t, await other.claim(operation));
      t.is(hidden.fingerprint, undefined);
      t.deepEqual([hidden.ageMs, hidden.leaseLeftMs], [0, 10 * minute]);
      await claim.complete(reply('done'));
    });
  }

  it('retained keys are counted by scope, in progress or completed', async (t, { store, other, advance }) => {
    const keep = async (scope: string, retentionMs = hour) =>
      claimed(t, await store.claim(request({ scope, retentionMs }))).complete(reply('kept'));
    for (let index = 0; index < 5; index++) await keep('a');
    for (let index = 0; index < 3; index++) await keep('a', 20 * minute);
    await keep('b');
    await claimed(t, await store.claim(request({ scope: 'a' }))).release();
    const running = claimed(t, await store.claim(request({ scope: 'a' })));
    const count = (scope: string, max = 100) => other.countLive(scope, max);
    t.deepEqual([await count('a'), await count('b'), await count(''), await count('A')], [9, 1, 0, 0]);
    t.deepEqual([await count('a', 9), await count('a', 8), await count('a', 1)], [9, 8, 1]);
    await advance(20 * minute);
    t.is(await count('a'), 6, 'expired keys do not count, purged or not');
    t.is((await store.purge(100)).purged, 3);
    t.is(await count('a'), 6);
    await running.complete(reply('kept'));
    t.is(await count('a'), 6);
  });

  it('a key that has expired and was claimed anew counts once', async (t, { store, advance }) => {
    const operation = request();
    await claimed(t, await store.claim(operation)).complete(reply('old'));
    await advance(hour);
    t.is(await store.countLive('tenant', 10), 0);
    await claimed(t, await store.claim({ ...operation, fingerprint: digest('changed') })).complete(
      reply('new'),
    );
    t.is(await store.countLive('tenant', 10), 1);
  });
}
