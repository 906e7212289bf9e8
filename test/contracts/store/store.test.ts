import test, { type ExecutionContext } from 'ava';
import { LeaseLostError } from 'grpc-replay-guard/database';
import type { ClaimRequest, IdempotencyStore } from 'grpc-replay-guard/store';
import { isCitus } from '../../helpers/databases/citus.js';
import { poll } from '../../helpers/waiting/poll.js';
import { digest as bytes, claimed, completed, hour, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

// The contract of every `IdempotencyStore`: claims, takeovers, replies and purges.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    const ask = (changes: Partial<ClaimRequest> = {}) => request({ atomicity, ...changes });

    it(`${atomicity}: the first claim of a key is granted`, async (t, { store, now }) => {
      const claim = claimed(t, await store.claim(ask()));
      t.false(claim.takenOver);
      t.false(claim.lost.aborted);
      t.is(claim.expiresAtMs, now() + hour);
      await claim.release();
    });

    it(`${atomicity}: run returns the result of the work`, async (t, { store }) => {
      const claim = claimed(t, await store.claim(ask()));
      t.is(
        claim.run(() => 7),
        7,
      );
      t.is(await claim.run(async () => 8), 8);
      await claim.release();
    });

    it(`${atomicity}: a key in progress is not granted to another claim`, async (t, { store, other }) => {
      const operation = ask();
      const claim = claimed(t, await store.claim(operation));
      // SQLite runs units of work one after another, so this claim resolves after the first claim has ended.
      const second = store.claim(operation);
      const third = await other.claim(operation);
      if (third.outcome !== 'in-progress') return t.fail(third.outcome);
      t.true(third.ageMs >= 0 && third.ageMs < 5 * minute);
      if (third.fingerprint) t.deepEqual(third.fingerprint, operation.fingerprint);
      await claim.complete(reply('done'));
      t.not((await second).outcome, 'claimed');
      t.is((await other.claim(operation)).outcome, 'completed');
    });

    it(`${atomicity}: every server finds a completed key with its reply`, async (t, { store, other }) => {
      const operation = ask();
      const claim = claimed(t, await store.claim(operation));
      await claim.complete(reply('\0done\xff'));
      for (const server of [store, other]) {
        const found = completed(t, await server.claim(operation));
        t.deepEqual(found.reply, reply('\0done\xff'));
        t.deepEqual(found.fingerprint, operation.fingerprint);
        t.is(found.expiresAtMs, claim.expiresAtMs);
      }
    });

    it(`${atomicity}: an empty reply is a reply`, async (t, { store }) => {
      const operation = ask();
      await claimed(t, await store.claim(operation)).complete(Buffer.alloc(0));
      t.is(completed(t, await store.claim(operation)).reply.length, 0);
    });

    it(`${atomicity}: a large reply comes back whole`, async (t, { store }) => {
      const operation = ask();
      const large = Buffer.alloc(1_200_000, 'abc\0');
      await claimed(t, await store.claim(operation)).complete(large);
      t.true(completed(t, await store.claim(operation)).reply.equals(large));
    });

    it(`${atomicity}: a claim with another payload finds the fingerprint of the completed execution`, async (t, {
      store,
    }) => {
      const operation = ask();
      await claimed(t, await store.claim(operation)).complete(reply('done'));
      const found = completed(t, await store.claim({ ...operation, fingerprint: bytes('changed') }));
      t.deepEqual(found.fingerprint, operation.fingerprint);
      t.deepEqual(completed(t, await store.claim(operation)).fingerprint, operation.fingerprint);
    });

    it(`${atomicity}: a stored failure is found like any other reply`, async (t, { store, other }) => {
      const operation = ask();
      await claimed(t, await store.claim(operation)).fail(reply('refused'));
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('refused'));
      t.deepEqual(completed(t, await other.claim(operation)).fingerprint, operation.fingerprint);
    });

    it(`${atomicity}: a released key can be claimed anew, with any payload`, async (t, { store }) => {
      const operation = ask();
      await claimed(t, await store.claim(operation)).release();
      const again = claimed(t, await store.claim({ ...operation, fingerprint: bytes('changed') }));
      t.false(again.takenOver);
      await again.complete(reply('second'));
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('second'));
    });

    it(`${atomicity}: a released key becomes free for other servers`, async (t, { store, other }) => {
      const operation = ask();
      await claimed(t, await store.claim(operation)).release();
      let result = await other.claim(operation);
      await poll('the key is free', async () => {
        if (result.outcome === 'in-progress') result = await other.claim(operation);
        return result.outcome !== 'in-progress';
      });
      t.false(claimed(t, result).takenOver);
      await claimed(t, result).release();
    });

    it(`${atomicity}: exactly one of 50 simultaneous claims is granted`, async (t, { store, other }) => {
      const operation = ask();
      const attempt = async (server: IdempotencyStore) => {
        const result = await server.claim(operation);
        if (result.outcome === 'claimed') await result.claim.complete(reply('one'));
        return result.outcome;
      };
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => attempt(store)));
      t.is(outcomes.filter((outcome) => outcome === 'claimed').length, 1, outcomes.join());
      for (const server of [store, other]) {
        t.deepEqual(completed(t, await server.claim(operation)).reply, reply('one'));
      }
    });

    it(`${atomicity}: simultaneous claims of 50 keys are all granted`, async (t, { store }) => {
      const attempt = async () => {
        await claimed(t, await store.claim(ask())).complete(reply('one'));
      };
      await t.notThrowsAsync(Promise.all(Array.from({ length: 50 }, attempt)));
    });

    it(`${atomicity}: keys are independent of each other`, async (t, { store }) => {
      const [one, two, three] = [ask(), ask(), ask()];
      await claimed(t, await store.claim(one)).complete(reply('one'));
      await claimed(t, await store.claim(two)).release();
      await claimed(t, await store.claim(three)).fail(reply('three'));
      t.deepEqual(completed(t, await store.claim(one)).reply, reply('one'));
      t.deepEqual(completed(t, await store.claim(three)).reply, reply('three'));
      await claimed(t, await store.claim(two)).release();
    });

    it(`${atomicity}: an expired key is claimed anew, with any payload`, async (t, {
      store,
      other,
      advance,
    }) => {
      const operation = ask({ retentionMs: 20 * minute });
      await claimed(t, await store.claim(operation)).complete(reply('old'));
      await advance(10 * minute);
      t.is((await other.claim(operation)).outcome, 'completed');
      await advance(10 * minute + 1);
      const anew = { ...operation, fingerprint: bytes('changed') };
      const claim = claimed(t, await store.claim(anew));
      t.false(claim.takenOver, 'the earlier execution had completed');
      await claim.complete(reply('new'));
      const found = completed(t, await other.claim(anew));
      t.deepEqual(found.reply, reply('new'));
      t.deepEqual(found.fingerprint, anew.fingerprint);
      t.is(found.expiresAtMs, claim.expiresAtMs);
    });

    it(`${atomicity}: later changes of the caller's buffers do not change the record`, async (t, {
      store,
    }) => {
      const operation = ask();
      const [id, fingerprint] = [Buffer.from(operation.id), Buffer.from(operation.fingerprint)];
      const claim = claimed(t, await store.claim({ ...operation, id, fingerprint }));
      fingerprint.fill(0);
      const sent = reply('done');
      const ended = claim.complete(sent);
      await ended;
      sent.fill(0);
      const found = completed(t, await store.claim(operation));
      t.deepEqual(found.fingerprint, operation.fingerprint);
      t.deepEqual(found.reply, reply('done'));
    });
  }

  it('a key in progress is found with its fingerprint and its age', async (t, { store, other, advance }) => {
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(5 * minute);
    const second = await other.claim({ ...operation, fingerprint: bytes('changed') });
    if (second.outcome !== 'in-progress') return t.fail(second.outcome);
    t.deepEqual(second.fingerprint, operation.fingerprint);
    t.true(second.ageMs >= 5 * minute && second.ageMs < 10 * minute, `${second.ageMs}`);
    await claim.release();
  });

  it('a key with a valid lease is not taken over', async (t, { store, other, advance }) => {
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(5 * minute);
    t.is((await other.claim(operation)).outcome, 'in-progress');
    await claim.complete(reply('done'));
  });

  it('a key whose lease ran out is taken over', async (t, { store, other, advance }) => {
    const operation = request();
    claimed(t, await store.claim(operation));
    await advance(10 * minute + 1);
    const claim = claimed(t, await other.claim(operation));
    t.true(claim.takenOver);
    t.is((await store.claim(operation)).outcome, 'in-progress', 'the lease runs anew');
    await claim.complete(reply('second'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('second'));
  });

  it('only a request with the same payload takes a key over', async (t, { store, other, advance }) => {
    const operation = request();
    claimed(t, await store.claim(operation));
    await advance(10 * minute + 1);
    const second = await other.claim({ ...operation, fingerprint: bytes('changed') });
    if (second.outcome !== 'in-progress') return t.fail(second.outcome);
    t.deepEqual(second.fingerprint, operation.fingerprint);
    t.true(claimed(t, await other.claim(operation)).takenOver);
  });

  it('a takeover restarts the retention', async (t, { store, advance }) => {
    const operation = request({ retentionMs: 20 * minute });
    claimed(t, await store.claim(operation));
    await advance(10 * minute + 1);
    await claimed(t, await store.claim(operation)).complete(reply('second'));
    await advance(15 * minute);
    t.is((await store.claim(operation)).outcome, 'completed');
  });

  it('exactly one of 50 simultaneous takeovers is granted', async (t, { store, advance }) => {
    const operation = request();
    claimed(t, await store.claim(operation));
    await advance(10 * minute + 1);
    const results = await Promise.all(Array.from({ length: 50 }, () => store.claim(operation)));
    t.is(results.filter((result) => result.outcome === 'claimed').length, 1);
  });

  for (const ending of ['complete', 'fail'] as const) {
    it(`${ending} after a takeover is refused and changes no record`, async (t, {
      store,
      other,
      advance,
    }) => {
      const operation = request();
      const earlierOwner = claimed(t, await store.claim(operation));
      await advance(10 * minute + 1);
      const owner = claimed(t, await other.claim(operation));
      await t.throwsAsync(earlierOwner[ending](reply('too late')), { instanceOf: LeaseLostError });
      t.is((await store.claim(operation)).outcome, 'in-progress', 'the new owner still holds the key');
      await owner.complete(reply('owner'));
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('owner'));
    });

    it(`${ending} after the new owner has completed does not change the reply`, async (t, {
      store,
      other,
      advance,
    }) => {
      const operation = request();
      const earlierOwner = claimed(t, await store.claim(operation));
      await advance(10 * minute + 1);
      await claimed(t, await other.claim(operation)).complete(reply('owner'));
      await t.throwsAsync(earlierOwner[ending](reply('too late')), { instanceOf: LeaseLostError });
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('owner'));
    });
  }

  it('release after a takeover does not change the record', async (t, { store, other, advance }) => {
    const operation = request();
    const earlierOwner = claimed(t, await store.claim(operation));
    await advance(10 * minute + 1);
    const owner = claimed(t, await other.claim(operation));
    await earlierOwner.release();
    t.is((await store.claim(operation)).outcome, 'in-progress');
    await owner.complete(reply('owner'));
    await t.notThrowsAsync(async () => earlierOwner.release());
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('owner'));
  });

  it('after several takeovers only the last owner completes', async (t, { store, other, advance }) => {
    const operation = request({ leaseMs: 1 });
    const first = claimed(t, await store.claim(operation));
    await advance(2);
    const second = claimed(t, await other.claim(operation));
    await advance(2);
    const third = claimed(t, await store.claim(operation));
    t.deepEqual([first.takenOver, second.takenOver, third.takenOver], [false, true, true]);
    await t.throwsAsync(first.complete(reply('1')), { instanceOf: LeaseLostError });
    await t.throwsAsync(second.complete(reply('2')), { instanceOf: LeaseLostError });
    await third.complete(reply('3'));
    t.deepEqual(completed(t, await other.claim(operation)).reply, reply('3'));
  });

  it('an earlier owner cannot complete a record that was released and inserted again', async (t, {
    store,
    other,
    advance,
  }) => {
    const operation = request({ leaseMs: 1 });
    const earlierOwner = claimed(t, await store.claim(operation));
    await advance(2);
    await claimed(t, await other.claim(operation)).release();
    const anew = claimed(t, await other.claim(operation));
    await t.throwsAsync(earlierOwner.complete(reply('too late')), { instanceOf: LeaseLostError });
    await earlierOwner.release();
    await anew.complete(reply('anew'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('anew'));
  });

  it('an owner whose lease has run out completes if no other execution took the key over', async (t, {
    store,
    advance,
  }) => {
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(10 * minute + 1);
    await claim.complete(reply('late'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('late'));
  });

  it('an expired key in progress is claimed anew, and its earlier owner is refused', async (t, {
    store,
    advance,
  }) => {
    const operation = request({ retentionMs: 15 * minute });
    const earlierOwner = claimed(t, await store.claim(operation));
    await advance(15 * minute + 1);
    const claim = claimed(t, await store.claim({ ...operation, fingerprint: bytes('changed') }));
    await t.throwsAsync(earlierOwner.complete(reply('too late')), { instanceOf: LeaseLostError });
    await claim.complete(reply('new'));
  });

  it('a purge deletes only expired records, up to its limit', async (t, { store, advance }) => {
    const short = Array.from({ length: 5 }, () => request({ retentionMs: 20 * minute }));
    const long = request({ retentionMs: hour });
    const running = request({ retentionMs: hour });
    for (const operation of [...short, long])
      await claimed(t, await store.claim(operation)).complete(reply('kept'));
    const claim = claimed(t, await store.claim(running));
    t.is((await store.purge(100)).purged, 0);
    await advance(20 * minute + 1);
    t.is((await store.purge(2)).purged, 2);
    t.is((await store.purge(2)).purged, 2);
    t.is((await store.purge(100)).purged, 1);
    t.is((await store.purge(100)).purged, 0);
    t.deepEqual(completed(t, await store.claim(long)).reply, reply('kept'));
    await claim.complete(reply('running'));
    t.is((await store.claim(running)).outcome, 'completed');
  });

  it('a purged key is a new key', async (t, { store, advance }) => {
    const operation = request({ retentionMs: 20 * minute });
    const earlierOwner = claimed(t, await store.claim(operation));
    await advance(20 * minute + 1);
    t.is((await store.purge(10)).purged, 1);
    const claim = claimed(t, await store.claim({ ...operation, fingerprint: bytes('changed') }));
    t.false(claim.takenOver);
    await t.throwsAsync(earlierOwner.complete(reply('too late')), { instanceOf: LeaseLostError });
    await claim.release();
  });

  it('the estimate reaches the number of records', async (t, { store, advance }) => {
    t.is(await store.estimateRecords(), 0);
    for (let count = 0; count < 12; count++) {
      await claimed(t, await store.claim(request({ retentionMs: 20 * minute }))).complete(reply('kept'));
    }
    // The statistics on the coordinator of a Citus cluster do not count the rows on its nodes.
    const expected = name === 'postgres' && (await isCitus()) ? 0 : 12;
    await poll('an estimate of all records', async () => (await store.estimateRecords()) === expected);
    await advance(20 * minute + 1);
    t.is((await store.purge(100)).purged, 12);
    await poll('an estimate of no records', async () => (await store.estimateRecords()) === 0);
    t.pass();
  });
}
