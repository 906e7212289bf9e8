import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { LeaseLostError } from 'grpc-replay-guard/database';
import {
  type ClaimRequest,
  type RecordAddress,
  SEQUENCE_WINDOW_SIZE,
  type SeriesPosition,
} from 'grpc-replay-guard/store';
import { claimed, completed, digest, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);
const lost = { instanceOf: LeaseLostError };

/** A producer by the address of its record, and its epoch. */
interface Producer extends RecordAddress {
  readonly epoch?: bigint;
}

/** Returns a request for a position in a series, with a lease of 10 minutes and a retention of one hour. */
function at(
  sequence: number | bigint,
  { scope, id, epoch = 0n }: Producer,
  changes: Partial<ClaimRequest> = {},
) {
  const series: SeriesPosition = { id, epoch, sequence: BigInt(sequence) };
  return request({ id: digest(`${id.toString('hex')} ${epoch} ${sequence}`), scope, series, ...changes });
}

const newProducer = (epoch = 0n): Producer => ({ scope: 'tenant', id: digest(randomUUID()), epoch });

/** Claims the sequences from `first` to `last`. The reply of each sequence contains its last digit. */
async function complete(
  t: ExecutionContext,
  { store }: StoreSubject,
  producer: Producer,
  first: number,
  last: number,
) {
  for (let sequence = first; sequence <= last; sequence++)
    await claimed(t, await store.claim(at(sequence, producer))).complete(reply(`reply ${sequence % 10}`));
}

// The contract of every store for the series of producers.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  it('a series has one record, whose size stops growing with a full window', async (t, subject) => {
    const { store, other, now } = subject;
    const producer = newProducer();
    await complete(t, subject, producer, 0, SEQUENCE_WINDOW_SIZE - 1);
    const full = await other.findProducer(producer);
    await complete(t, subject, producer, SEQUENCE_WINDOW_SIZE, 40);
    const later = await other.findProducer(producer);
    t.is(later?.replies.length, full?.replies.length);
    t.like(later, { epoch: 0n, completed: 40n, expiresAtMs: now() + hour });
    t.is(await store.countLive('tenant', 10), 1);
    t.is(await store.find(producer), undefined);
    t.deepEqual(completed(t, await other.claim(at(36, producer))).reply, reply('reply 6'));
    t.deepEqual(await other.claim(at(35, producer)), { outcome: 'outdated' });
  });

  it('a series with a first-sent time ahead of the clock is retained until the operation is too old', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const producer = newProducer();
    const ahead = now() + 5 * minute;
    const first = at(0, producer, { firstSent: { earliestMs: ahead, latestMs: ahead } });
    await claimed(t, await store.claim(first)).complete(reply('first'));
    await claimed(t, await store.claim(at(1, producer))).complete(reply('second'));
    // The database's clock may have advanced by some milliseconds since the claim.
    await advance(hour + 4 * minute);
    t.deepEqual(completed(t, await other.claim(first)).reply, reply('first'));
    await advance(minute);
    t.is((await other.claim(first)).outcome, 'expired');
  });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: a release changes neither the next sequence nor the window`, async (t, subject) => {
      const { store, other } = subject;
      const producer = newProducer();
      await complete(t, subject, producer, 0, 6);
      const before = await other.findProducer(producer);
      await claimed(t, await store.claim(at(7, producer, { atomicity }))).release();
      t.deepEqual(await other.findProducer(producer), before);
      t.like(await other.claim(at(8, producer)), { outcome: 'gap', expected: 7n });
      await claimed(t, await other.claim(at(7, producer, { atomicity }))).complete(reply('seven'));
      t.deepEqual(completed(t, await store.claim(at(3, producer))).reply, reply('reply 3'));
    });

    it(`${atomicity}: one of 20 simultaneous claims of the next sequence is granted`, async (t, subject) => {
      const { store, other } = subject;
      const producer = newProducer();
      await complete(t, subject, producer, 0, 1);
      const attempt = async (server: typeof store) => {
        const result = await server.claim(at(2, producer, { atomicity }));
        if (result.outcome === 'claimed') await result.claim.complete(reply('two'));
        return result.outcome;
      };
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) => attempt(index % 2 ? store : other)),
      );
      t.is(outcomes.filter((outcome) => outcome === 'claimed').length, 1);
      t.true(outcomes.every((outcome) => ['claimed', 'in-progress', 'completed'].includes(outcome)));
      t.is((await store.findProducer(producer))?.completed, 2n);
    });
  }

  it('an execution that was taken over cannot complete, fail, renew or release', async (t, subject) => {
    const { store, other, advance } = subject;
    const producer = newProducer();
    await complete(t, subject, producer, 0, 3);
    const earlierOwners = [];
    for (let count = 0; count < 4; count++) {
      earlierOwners.push(claimed(t, await store.claim(at(4, producer))));
      await advance(10 * minute);
    }
    const owner = claimed(t, await other.claim(at(4, producer)));
    t.true(owner.takenOver);
    await t.throwsAsync(earlierOwners[0]?.complete(reply('too late')) ?? Promise.resolve(), lost);
    await t.throwsAsync(earlierOwners[1]?.fail(reply('too late')) ?? Promise.resolve(), lost);
    await t.throwsAsync(earlierOwners[2]?.renew() ?? Promise.resolve(), lost);
    await earlierOwners[3]?.release();
    await owner.renew();
    t.is((await store.findProducer(producer))?.running?.sequence, 4n);
    await owner.complete(reply('owner'));
    t.deepEqual(completed(t, await store.claim(at(4, producer))).reply, reply('owner'));
  });

  it('an earlier owner cannot change a later sequence or a later epoch', async (t, subject) => {
    const { store, other, advance } = subject;
    const producer = newProducer();
    const earlierOwner = claimed(t, await store.claim(at(0, producer)));
    await advance(10 * minute);
    await claimed(t, await other.claim(at(0, producer))).complete(reply('zero'));
    const next = claimed(t, await other.claim(at(1, producer)));
    await t.throwsAsync(earlierOwner.complete(reply('too late')), lost);
    await earlierOwner.release();
    await advance(10 * minute);
    const fencing = claimed(t, await other.claim(at(0, { ...producer, epoch: 1n })));
    t.false(fencing.takenOver);
    await t.throwsAsync(next.complete(reply('old epoch')), lost);
    await fencing.complete(reply('new epoch'));
    t.deepEqual(await store.claim(at(1, producer)), { outcome: 'fenced', epoch: 1n });
  });

  it('a new epoch begins only after the running execution has ended or lost its lease', async (t, subject) => {
    const { store, other, advance } = subject;
    const producer = newProducer();
    const claim = claimed(t, await store.claim(at(0, producer)));
    const begins = () => other.claim(at(0, { ...producer, epoch: 1n }));
    t.is((await begins()).outcome, 'in-progress');
    await claim.complete(reply('zero'));
    const next = claimed(t, await store.claim(at(1, producer)));
    t.is((await begins()).outcome, 'in-progress');
    await advance(10 * minute);
    await claimed(t, await begins()).complete(reply('new epoch'));
    await t.throwsAsync(next.complete(reply('old epoch')), lost);
  });

  it('a renewed lease prevents a takeover and later sequences', async (t, subject) => {
    const { store, other, advance } = subject;
    const producer = newProducer();
    const claim = claimed(t, await store.claim(at(0, producer)));
    await advance(9 * minute);
    await claim.renew();
    await advance(9 * minute);
    t.is(inProgress(t, await other.claim(at(0, producer))).leaseLeftMs, minute);
    t.is(inProgress(t, await other.claim(at(1, producer))).fingerprint, undefined);
    t.deepEqual(await other.claim(at(2, producer)), { outcome: 'gap', expected: 1n });
    await claim.complete(reply('zero'));
  });

  it('a series is purged from the moment of its expiry, which counts from the last claim', async (t, subject) => {
    const { store, advance } = subject;
    const producer = newProducer();
    await complete(t, subject, producer, 0, 0);
    await advance(hour - 1);
    await complete(t, subject, producer, 1, 1);
    await advance(hour - 1);
    t.is((await store.purge(10)).purged, 0);
    t.is((await store.findProducer(producer))?.completed, 1n);
    await advance(1);
    t.is(await store.findProducer(producer), undefined);
    t.deepEqual(await store.claim(at(2, producer)), { outcome: 'gap' });
    t.is(await store.countLive('tenant', 10), 0);
    t.is((await store.purge(10)).purged, 1);
    t.deepEqual(await store.claim(at(2, producer)), { outcome: 'gap' });
    await complete(t, subject, producer, 0, 0);
  });

  it('an expired series starts again before its purge, also in a lower epoch', async (t, subject) => {
    const { advance, store } = subject;
    const producer = newProducer(4n);
    await complete(t, subject, producer, 0, 2);
    await advance(hour);
    await complete(t, subject, { ...producer, epoch: 2n }, 1, 1);
    t.like(await store.findProducer(producer), { epoch: 2n, completed: 1n });
    t.deepEqual(await store.claim(at(0, { ...producer, epoch: 2n })), { outcome: 'outdated' });
  });

  it('purge, count and erase include keys and series, up to their limit', async (t, subject) => {
    const { store, advance } = subject;
    for (let count = 0; count < 3; count++) {
      await claimed(t, await store.claim(request())).complete(reply('key'));
      await complete(t, subject, newProducer(), 0, 1);
    }
    t.deepEqual([await store.countLive('tenant', 10), await store.countLive('tenant', 5)], [6, 5]);
    t.is(await store.countLive('other', 10), 0);
    if (name !== 'postgres') t.is(await store.estimateRecords(), 6);
    t.deepEqual(
      [await store.erase('tenant', 4), await store.erase('tenant', 4), await store.erase('tenant', 4)].map(
        ({ erased }) => erased,
      ),
      [4, 2, 0],
    );
    t.is(await store.countLive('tenant', 10), 0);
    await advance(hour);
    for (const purged of [4, 2, 0]) t.is((await store.purge(4)).purged, purged);
  });

  it('an erased execution whose lease ran out can be taken over but cannot complete', async (t, subject) => {
    const { store, other, advance } = subject;
    const producer = newProducer();
    await complete(t, subject, producer, 0, 2);
    const earlierOwner = claimed(t, await store.claim(at(3, producer)));
    await advance(11 * minute);
    t.is((await other.erase('tenant', 10)).erased, 1);
    t.is((await other.findProducer(producer))?.replies.length, 0);
    await t.throwsAsync(earlierOwner.complete(reply('too late')), lost);
    const next = claimed(t, await other.claim(at(3, producer)));
    t.true(next.takenOver);
    await next.complete(reply('three'));
    t.deepEqual(completed(t, await store.claim(at(3, producer))).reply, reply('three'));
    t.deepEqual(await store.claim(at(2, producer)), { outcome: 'outdated' });
    t.is((await store.erase('tenant', 10)).erased, 1);
  });

  it('an initial sequence of a new epoch is refused if it was sent too long ago', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const producer = newProducer();
    claimed(t, await store.claim(at(0, producer)));
    await advance(11 * minute);
    const sent = now() - 2 * hour;
    const late = at(0, { ...producer, epoch: 1n }, { firstSent: { earliestMs: sent, latestMs: sent } });
    t.is((await other.claim(late)).outcome, 'expired');
  });

  it('a series in progress is not erased', async (t, subject) => {
    const { store } = subject;
    const producer = newProducer();
    await complete(t, subject, producer, 0, 0);
    const claim = claimed(t, await store.claim(at(1, producer)));
    t.is((await store.erase('tenant', 10)).erased, 0);
    await claim.complete(reply('one'));
    t.is((await store.erase('tenant', 10)).erased, 1);
    t.is((await store.findProducer(producer))?.replies.length, 0);
    t.deepEqual(await store.claim(at(1, producer)), { outcome: 'outdated' });
  });

  if (name === 'memory') continue;

  it('the next sequence is not granted while the previous execution writes, even after its lease has run out', async (t, subject) => {
    const { store, other, database, advance } = subject;
    await database?.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
    const producer = newProducer();
    await complete(t, subject, producer, 0, 0);
    const writing = claimed(t, await store.claim(at(1, producer)));
    await writing.run(() => database?.query('INSERT INTO notes (id) VALUES ($1)', [1]));
    await advance(11 * minute);
    for (const operation of [at(1, producer), at(2, producer), at(0, { ...producer, epoch: 1n })])
      t.is((await other.claim(operation)).outcome, 'in-progress');
    await writing.complete(reply('one'));
    await claimed(t, await other.claim(at(2, producer))).release();
  });
}
