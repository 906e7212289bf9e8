import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { LeaseLostError } from 'grpc-replay-guard/database';
import type { Claim } from 'grpc-replay-guard/store';
import { claimed, completed, digest, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

// Renewals of a lease, and the rights of an owner whose lease has run out.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  it('a renewed lease counts from the renewal, and prevents a takeover', async (t, subject) => {
    const { store, other, advance } = subject;
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    for (let count = 0; count < 3; count++) {
      await advance(9 * minute);
      await claim.renew();
      t.is(inProgress(t, await other.find(operation)).leaseLeftMs, 10 * minute);
    }
    await advance(10 * minute - 1);
    t.is(inProgress(t, await other.claim(operation)).leaseLeftMs, 1);
    await advance(1);
    t.true(claimed(t, await other.claim(operation)).takenOver);
  });

  it('a renewal does not extend the retention', async (t, { store, now, advance }) => {
    const operation = request({ retentionMs: 15 * minute });
    const claim = claimed(t, await store.claim(operation));
    const expiresAtMs = now() + 15 * minute;
    await advance(9 * minute);
    await claim.renew();
    await claim.complete(reply('done'));
    t.is(completed(t, await store.claim(operation)).expiresAtMs, expiresAtMs);
    await advance(6 * minute);
    t.is(await store.find(operation), undefined);
  });

  it('an owner whose lease has run out renews if no other execution took the key over', async (t, {
    store,
    other,
    advance,
  }) => {
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(30 * minute);
    await claim.renew();
    t.is(inProgress(t, await other.claim(operation)).leaseLeftMs, 10 * minute);
    await claim.complete(reply('late'));
    t.deepEqual(completed(t, await other.claim(operation)).reply, reply('late'));
  });

  it('after the clock was set back an hour, the key of a crashed execution is taken over at once', async (t, subject) => {
    const { store, other, advance } = subject;
    const operation = request();
    const crashed = claimed(t, await store.claim(operation));
    await advance(-hour);
    const taken = claimed(t, await other.claim(operation));
    t.true(taken.takenOver);
    // The new lease counts from the new time, so no other execution takes it over.
    t.is(inProgress(t, await store.claim(operation)).leaseLeftMs, 10 * minute);
    await t.throwsAsync(crashed.complete(reply('late')), { instanceOf: LeaseLostError });
    await taken.complete(reply('done'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('done'));
  });

  it('after the clock was ahead for a renewal, the key of a crashed execution is taken over at once', async (t, subject) => {
    const { store, other, advance } = subject;
    const operation = request({ retentionMs: 10 * hour });
    const crashed = claimed(t, await store.claim(operation));
    await advance(2 * hour);
    await crashed.renew();
    await advance(-2 * hour);
    t.true(claimed(t, await other.claim(operation)).takenOver);
  });

  it('a server with a shorter lease does not take a running execution over', async (t, subject) => {
    const { store, other, advance } = subject;
    const key = request();
    const series = { id: digest(randomUUID()), epoch: 0n, sequence: 1n };
    for (const longer of [key, request({ series }), request({ series: { ...series, sequence: 2n } })]) {
      const shorter = { ...longer, leaseMs: 2 * minute };
      const claim = claimed(t, await store.claim(longer));
      await advance(minute);
      await claim.renew();
      t.is(inProgress(t, await other.claim(shorter)).leaseLeftMs, 10 * minute);
      if (longer === key) await advance(10 * minute);
      else await claim.complete(reply('done'));
    }
    t.true(claimed(t, await other.claim({ ...key, leaseMs: 2 * minute })).takenOver);
  });

  it('a new epoch on a server with a shorter lease waits for the running execution', async (t, subject) => {
    const { store, other } = subject;
    const series = { id: digest(randomUUID()), epoch: 0n, sequence: 0n };
    claimed(t, await store.claim(request({ series })));
    const next = request({ series: { ...series, epoch: 1n }, leaseMs: 2 * minute });
    t.is(inProgress(t, await other.claim(next)).leaseLeftMs, 10 * minute);
  });

  it('after the clock was set back, an execution that renews its lease keeps its key', async (t, subject) => {
    const { store, other, advance } = subject;
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(-hour);
    await claim.renew();
    t.is(inProgress(t, await other.claim(operation)).leaseLeftMs, 10 * minute);
    await claim.complete(reply('done'));
  });

  it('a clock that is set back by 5 seconds does not end a lease', async (t, { store, other, advance }) => {
    const operation = request();
    const claim = claimed(t, await store.claim(operation));
    await advance(-5_000);
    t.is(inProgress(t, await other.claim(operation)).leaseLeftMs, 10 * minute + 5_000);
    await claim.complete(reply('done'));
  });

  it('after the clock was set back an hour, a series continues with the sequence of the crashed execution', async (t, subject) => {
    const { store, other, advance } = subject;
    for (const [epoch, sequence] of [
      [0n, 1n],
      [0n, 2n],
      [1n, 0n],
    ] as const) {
      const series = { id: digest(randomUUID()), epoch: 0n, sequence: 1n };
      if (sequence === 2n) await claimed(t, await store.claim(request({ series }))).complete(reply('one'));
      const crashed = sequence === 2n ? { ...series, sequence } : series;
      claimed(t, await store.claim(request({ series: crashed })));
      await advance(-hour);
      const taken = claimed(t, await other.claim(request({ series: { ...series, epoch, sequence } })));
      t.is(taken.takenOver, epoch === 0n);
      await taken.complete(reply('done'));
    }
  });

  const losses: Record<string, (subject: StoreSubject, taker: Claim) => Promise<unknown>> = {
    'was taken over': async () => {},
    'was taken over and completed': (_subject, taker) => taker.complete(reply('owner')),
    'was taken over and released': async (_subject, taker) => taker.release(),
    'was completed and erased': async ({ store }, taker) => {
      await taker.complete(reply('owner'));
      await store.erase('tenant', 10);
    },
  };
  for (const [loss, lose] of Object.entries(losses)) {
    it(`the lease of a key that ${loss} cannot be renewed, and the claim is lost`, async (t, subject) => {
      const { store, other, advance } = subject;
      const operation = request();
      const earlierOwner = claimed(t, await store.claim(operation));
      await advance(10 * minute);
      await lose(subject, claimed(t, await other.claim(operation)));
      const before = await other.find(operation);
      const error = await t.throwsAsync(earlierOwner.renew(), { instanceOf: LeaseLostError });
      t.true(earlierOwner.lost.aborted);
      t.is(earlierOwner.lost.reason, error);
      await t.throwsAsync(earlierOwner.complete(reply('too late')), { instanceOf: LeaseLostError });
      await earlierOwner.release();
      t.deepEqual(await other.find(operation), before, 'the record is unchanged');
    });
  }

  it('an earlier owner cannot renew the lease of a key that was released and claimed again', async (t, {
    store,
    other,
    advance,
  }) => {
    const operation = request();
    const earlierOwner = claimed(t, await store.claim(operation));
    await advance(10 * minute);
    await claimed(t, await other.claim(operation)).release();
    const anew = claimed(t, await other.claim(operation));
    await t.throwsAsync(earlierOwner.renew(), { instanceOf: LeaseLostError });
    await anew.complete(reply('anew'));
  });

  it('the lease of a purged key cannot be renewed', async (t, { store, advance }) => {
    const earlierOwner = claimed(t, await store.claim(request({ retentionMs: 15 * minute })));
    await advance(15 * minute);
    t.is((await store.purge(10)).purged, 1);
    await t.throwsAsync(earlierOwner.renew(), { instanceOf: LeaseLostError });
  });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    for (const ending of ['complete', 'fail', 'release'] as const) {
      it(`${atomicity}: a renewal after ${ending} has no effect`, async (t, { store, other }) => {
        const operation = request({ atomicity });
        const claim = claimed(t, await store.claim(operation));
        await claim[ending](reply('done'));
        const before = await other.find(operation);
        await claim.renew();
        t.false(claim.lost.aborted);
        t.deepEqual(await other.find(operation), before);
      });
    }

    it(`${atomicity}: a renewal during the completion does not affect the claim`, async (t, { store }) => {
      const operation = request({ atomicity });
      const claim = claimed(t, await store.claim(operation));
      const renewals = [claim.renew(), claim.renew()];
      const ended = claim.complete(reply('done'));
      await Promise.all([...renewals, claim.renew(), ended]);
      t.false(claim.lost.aborted);
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('done'));
    });
  }

  it('exactly one of 20 simultaneous takeovers from two servers is granted', async (t, subject) => {
    const { store, other, advance } = subject;
    for (let round = 0; round < 5; round++) {
      const operation = request();
      const earlierOwner = claimed(t, await store.claim(operation));
      await advance(10 * minute);
      const claims = Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).claim(operation));
      const results = await Promise.all(claims);
      const granted = results.filter((result) => result.outcome === 'claimed');
      t.is(granted.length, 1);
      t.is(results.filter((result) => result.outcome === 'in-progress').length, 19);
      await t.throwsAsync(earlierOwner.renew(), { instanceOf: LeaseLostError });
      for (const result of granted) await result.claim.complete(reply(`${round}`));
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply(`${round}`));
    }
  });
}
