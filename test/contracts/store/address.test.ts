import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import type { ClaimRequest, RecordAddress } from 'grpc-replay-guard/store';
import { claimed, completed, digest, inProgress, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

/** Returns requests of two scopes for the same id. */
function sameId(changes: Partial<ClaimRequest> = {}): [ClaimRequest, ClaimRequest] {
  const one = request({ scope: 'one', ...changes });
  return [one, { ...one, scope: 'two' }];
}

/** Returns requests of two scopes for the same id of a series. */
function sameSeries(sequence: bigint, series: Buffer): [ClaimRequest, ClaimRequest] {
  return sameId({ series: { id: series, epoch: 0n, sequence } });
}

// A record is addressed by (scope, id).
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: the same id in two scopes is two records`, async (t, { store, other }) => {
      const [one, two] = sameId({ atomicity });
      await claimed(t, await store.claim(one)).complete(reply('one'));
      t.is(await other.find(two), undefined);
      const claim = claimed(t, await other.claim(two));
      t.false(claim.takenOver);
      t.deepEqual(completed(t, await store.claim(one)).reply, reply('one'));
      await claim.complete(reply('two'));
      t.deepEqual(completed(t, await store.find(one)).reply, reply('one'));
      t.deepEqual(completed(t, await store.find(two)).reply, reply('two'));
    });
  }

  it('each statement on a claim affects the record of its scope only', async (t, { store, other }) => {
    const [one, two] = sameId();
    const first = claimed(t, await store.claim(one));
    const second = claimed(t, await other.claim(two));
    await second.renew();
    await second.release();
    t.is(await store.find(two), undefined);
    inProgress(t, await store.find(one));
    await first.fail(reply('failed'));
    t.is(await store.find(two), undefined);
    t.deepEqual(completed(t, await other.find(one)).reply, reply('failed'));
  });

  it('the same id of a series in two scopes is two records', async (t, { store, other }) => {
    const series = digest(randomUUID());
    const addresses: RecordAddress[] = ['one', 'two'].map((scope) => ({ scope, id: series }));
    for (const sequence of [0n, 1n]) {
      const [one, two] = sameSeries(sequence, series);
      await claimed(t, await store.claim(one)).complete(reply(`one ${sequence}`));
      await claimed(t, await other.claim(two)).complete(reply(`two ${sequence}`));
    }
    const [one, two] = sameSeries(1n, series);
    t.deepEqual(completed(t, await store.claim(one)).reply, reply('one 1'));
    t.deepEqual(completed(t, await store.claim(two)).reply, reply('two 1'));
    await claimed(t, await store.claim(sameSeries(2n, series)[0])).release();
    for (const address of addresses) t.is((await other.findProducer(address))?.completed, 1n);
    t.is((await store.erase('one', 10)).erased, 1);
    const lengths = addresses.map(async (address) => (await other.findProducer(address))?.replies.length);
    const [erased, kept] = await Promise.all(lengths);
    t.is(erased, 0);
    t.true((kept ?? 0) > 0);
  });

  it('an erasure and a count affect the record of their scope only', async (t, { store }) => {
    const [one, two] = sameId();
    for (const operation of [one, two])
      await claimed(t, await store.claim(operation)).complete(reply('kept'));
    t.is((await store.erase('one', 10)).erased, 1);
    t.deepEqual([await store.countLive('one', 10), await store.countLive('two', 10)], [0, 1]);
    t.is((await store.find(one))?.outcome, 'erased');
    completed(t, await store.find(two));
  });

  it('a purge deletes the expired record and keeps the record of another scope', async (t, {
    store,
    advance,
  }) => {
    const [one, two] = sameId();
    await claimed(t, await store.claim({ ...one, retentionMs: 1_000 })).complete(reply('short'));
    await claimed(t, await store.claim(two)).complete(reply('kept'));
    await advance(1_000);
    t.is((await store.purge(10)).purged, 1);
    t.is(await store.find(one), undefined);
    completed(t, await store.find(two));
  });
}
