import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { LeaseLostError } from 'grpc-replay-guard/database';
import { type ClaimRequest, SEQUENCE_WINDOW_SIZE, type SeriesPosition } from 'grpc-replay-guard/store';
import { claimed, completed, digest, hour, inProgress, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);
const lost = { instanceOf: LeaseLostError };

interface Place {
  readonly id: Buffer;
  readonly epoch?: bigint;
}

/** Asks for a place; by default under a lease of 10 minutes, retained for an hour. */
function at(sequence: number | bigint, { id, epoch = 0n }: Place, changes: Partial<ClaimRequest> = {}) {
  const series: SeriesPosition = { id, epoch, sequence: BigInt(sequence) };
  return request({ id: digest(`${id.toString('hex')} ${epoch} ${sequence}`), series, ...changes });
}

const aSeries = (epoch = 0n): Place => ({ id: digest(randomUUID()), epoch });

/** Claims the sequences from `first` to `last` and completes each with its number. */
async function complete(
  t: ExecutionContext,
  { store }: StoreSubject,
  place: Place,
  first: number,
  last: number,
) {
  for (let sequence = first; sequence <= last; sequence++)
    await claimed(t, await store.claim(at(sequence, place))).complete(reply(`reply ${sequence % 10}`));
}

// What a store has to do for the series of producers, seen from beside the wire.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  it('a series is one record of one size, whatever it has come through', async (t, subject) => {
    const { store, other, now } = subject;
    const place = aSeries();
    await complete(t, subject, place, 0, SEQUENCE_WINDOW_SIZE - 1);
    const full = await other.findProducer(place.id);
    await complete(t, subject, place, SEQUENCE_WINDOW_SIZE, 40);
    const later = await other.findProducer(place.id);
    t.is(later?.replies.length, full?.replies.length);
    t.like(later, { epoch: 0n, completed: 40n, expiresAtMs: now() + hour });
    t.is(await store.countLive('tenant', 10), 1);
    t.is(await store.find(place.id), undefined);
    t.deepEqual(completed(t, await other.claim(at(36, place))).reply, reply('reply 6'));
    t.deepEqual(await other.claim(at(35, place)), { outcome: 'outdated' });
  });

  it('what was first sent ahead of the clock is retained until it is too old', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const place = aSeries();
    const ahead = now() + 5 * minute;
    const first = at(0, place, { firstSent: { earliestMs: ahead, latestMs: ahead } });
    await claimed(t, await store.claim(first)).complete(reply('first'));
    await claimed(t, await store.claim(at(1, place))).complete(reply('second'));
    // The database's clock may have gone on by some milliseconds since.
    await advance(hour + 4 * minute);
    t.deepEqual(completed(t, await other.claim(first)).reply, reply('first'));
    await advance(minute);
    t.is((await other.claim(first)).outcome, 'expired');
  });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: a release leaves the sequence where it was, and the window`, async (t, subject) => {
      const { store, other } = subject;
      const place = aSeries();
      await complete(t, subject, place, 0, 6);
      const before = await other.findProducer(place.id);
      await claimed(t, await store.claim(at(7, place, { atomicity }))).release();
      t.deepEqual(await other.findProducer(place.id), before);
      t.like(await other.claim(at(8, place)), { outcome: 'gap', expected: 7n });
      await claimed(t, await other.claim(at(7, place, { atomicity }))).complete(reply('seven'));
      t.deepEqual(completed(t, await store.claim(at(3, place))).reply, reply('reply 3'));
    });

    it(`${atomicity}: of many who ask for the next place one is granted it`, async (t, subject) => {
      const { store, other } = subject;
      const place = aSeries();
      await complete(t, subject, place, 0, 1);
      const attempt = async (asking: typeof store) => {
        const result = await asking.claim(at(2, place, { atomicity }));
        if (result.outcome === 'claimed') await result.claim.complete(reply('two'));
        return result.outcome;
      };
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) => attempt(index % 2 ? store : other)),
      );
      t.is(outcomes.filter((outcome) => outcome === 'claimed').length, 1);
      t.true(outcomes.every((outcome) => ['claimed', 'in-progress', 'completed'].includes(outcome)));
      t.is((await store.findProducer(place.id))?.completed, 2n);
    });
  }

  it('who was taken over can neither complete, fail, renew nor release', async (t, subject) => {
    const { store, other, advance } = subject;
    const place = aSeries();
    await complete(t, subject, place, 0, 3);
    const zombies = [];
    for (let count = 0; count < 4; count++) {
      zombies.push(claimed(t, await store.claim(at(4, place))));
      await advance(10 * minute);
    }
    const owner = claimed(t, await other.claim(at(4, place)));
    t.true(owner.takenOver);
    await t.throwsAsync(zombies[0]?.complete(reply('zombie')) ?? Promise.resolve(), lost);
    await t.throwsAsync(zombies[1]?.fail(reply('zombie')) ?? Promise.resolve(), lost);
    await t.throwsAsync(zombies[2]?.renew() ?? Promise.resolve(), lost);
    await zombies[3]?.release();
    await owner.renew();
    t.is((await store.findProducer(place.id))?.running?.sequence, 4n);
    await owner.complete(reply('owner'));
    t.deepEqual(completed(t, await store.claim(at(4, place))).reply, reply('owner'));
  });

  it('a zombie of one sequence cannot touch the next, nor one of an epoch the one after', async (t, subject) => {
    const { store, other, advance } = subject;
    const place = aSeries();
    const zombie = claimed(t, await store.claim(at(0, place)));
    await advance(10 * minute);
    await claimed(t, await other.claim(at(0, place))).complete(reply('zero'));
    const next = claimed(t, await other.claim(at(1, place)));
    await t.throwsAsync(zombie.complete(reply('zombie')), lost);
    await zombie.release();
    await advance(10 * minute);
    const fencing = claimed(t, await other.claim(at(0, { ...place, epoch: 1n })));
    t.false(fencing.takenOver);
    await t.throwsAsync(next.complete(reply('old epoch')), lost);
    await fencing.complete(reply('new epoch'));
    t.deepEqual(await store.claim(at(1, place)), { outcome: 'fenced', epoch: 1n });
  });

  it('an execution that has not written yet holds the series against a new epoch', async (t, subject) => {
    const { store, other, advance } = subject;
    const place = aSeries();
    const claim = claimed(t, await store.claim(at(0, place)));
    const begins = () => other.claim(at(0, { ...place, epoch: 1n }));
    t.is((await begins()).outcome, 'in-progress');
    await claim.complete(reply('zero'));
    const next = claimed(t, await store.claim(at(1, place)));
    t.is((await begins()).outcome, 'in-progress');
    await advance(10 * minute);
    await claimed(t, await begins()).complete(reply('new epoch'));
    await t.throwsAsync(next.complete(reply('old epoch')), lost);
  });

  it('a renewed lease holds the series', async (t, subject) => {
    const { store, other, advance } = subject;
    const place = aSeries();
    const claim = claimed(t, await store.claim(at(0, place)));
    await advance(9 * minute);
    await claim.renew();
    await advance(9 * minute);
    t.is(inProgress(t, await other.claim(at(0, place))).leaseLeftMs, minute);
    t.is(inProgress(t, await other.claim(at(1, place))).fingerprint, undefined);
    t.deepEqual(await other.claim(at(2, place)), { outcome: 'gap', expected: 1n });
    await claim.complete(reply('zero'));
  });

  it('is purged from the moment it expires, counted from the last claim', async (t, subject) => {
    const { store, advance } = subject;
    const place = aSeries();
    await complete(t, subject, place, 0, 0);
    await advance(hour - 1);
    await complete(t, subject, place, 1, 1);
    await advance(hour - 1);
    t.is(await store.purge(10), 0);
    t.is((await store.findProducer(place.id))?.completed, 1n);
    await advance(1);
    t.is(await store.findProducer(place.id), undefined);
    t.deepEqual(await store.claim(at(2, place)), { outcome: 'gap' });
    t.is(await store.countLive('tenant', 10), 0);
    t.is(await store.purge(10), 1);
    t.deepEqual(await store.claim(at(2, place)), { outcome: 'gap' });
    await complete(t, subject, place, 0, 0);
  });

  it('an expired series begins anew before it is purged, also in a lower epoch', async (t, subject) => {
    const { advance, store } = subject;
    const place = aSeries(4n);
    await complete(t, subject, place, 0, 2);
    await advance(hour);
    await complete(t, subject, { ...place, epoch: 2n }, 1, 1);
    t.like(await store.findProducer(place.id), { epoch: 2n, completed: 1n });
    t.deepEqual(await store.claim(at(0, { ...place, epoch: 2n })), { outcome: 'outdated' });
  });

  it('purge, count and erase go over keys and series together, and no further than they may', async (t, subject) => {
    const { store, advance } = subject;
    for (let count = 0; count < 3; count++) {
      await claimed(t, await store.claim(request())).complete(reply('key'));
      await complete(t, subject, aSeries(), 0, 1);
    }
    t.deepEqual([await store.countLive('tenant', 10), await store.countLive('tenant', 5)], [6, 5]);
    t.is(await store.countLive('other', 10), 0);
    if (name !== 'postgres') t.is(await store.estimateRecords(), 6);
    t.deepEqual(
      [await store.erase('tenant', 4), await store.erase('tenant', 4), await store.erase('tenant', 4)],
      [4, 2, 0],
    );
    t.is(await store.countLive('tenant', 10), 0);
    await advance(hour);
    t.deepEqual([await store.purge(4), await store.purge(4), await store.purge(4)], [4, 2, 0]);
  });

  it('what was left behind is erased, can be taken over, and completes nothing any more', async (t, subject) => {
    const { store, other, advance } = subject;
    const place = aSeries();
    await complete(t, subject, place, 0, 2);
    const zombie = claimed(t, await store.claim(at(3, place)));
    await advance(11 * minute);
    t.is(await other.erase('tenant', 10), 1);
    t.is((await other.findProducer(place.id))?.replies.length, 0);
    await t.throwsAsync(zombie.complete(reply('zombie')), lost);
    const next = claimed(t, await other.claim(at(3, place)));
    t.true(next.takenOver);
    await next.complete(reply('three'));
    t.deepEqual(completed(t, await store.claim(at(3, place))).reply, reply('three'));
    t.deepEqual(await store.claim(at(2, place)), { outcome: 'outdated' });
    t.is(await store.erase('tenant', 10), 1);
  });

  it('a first sequence that comes too late is not taken for one of an epoch before', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const place = aSeries();
    claimed(t, await store.claim(at(0, place)));
    await advance(11 * minute);
    const sent = now() - 2 * hour;
    const late = at(0, { ...place, epoch: 1n }, { firstSent: { earliestMs: sent, latestMs: sent } });
    t.is((await other.claim(late)).outcome, 'expired');
  });

  it('what is executed is not erased', async (t, subject) => {
    const { store } = subject;
    const place = aSeries();
    await complete(t, subject, place, 0, 0);
    const claim = claimed(t, await store.claim(at(1, place)));
    t.is(await store.erase('tenant', 10), 0);
    await claim.complete(reply('one'));
    t.is(await store.erase('tenant', 10), 1);
    t.is((await store.findProducer(place.id))?.replies.length, 0);
    t.deepEqual(await store.claim(at(1, place)), { outcome: 'outdated' });
  });

  if (name === 'memory') continue;

  it('the next one waits for an execution that is writing, however old its lease is', async (t, subject) => {
    const { store, other, database, advance } = subject;
    await database?.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
    const place = aSeries();
    await complete(t, subject, place, 0, 0);
    const writing = claimed(t, await store.claim(at(1, place)));
    await writing.run(() => database?.query('INSERT INTO notes (id) VALUES ($1)', [1]));
    await advance(11 * minute);
    for (const asked of [at(1, place), at(2, place), at(0, { ...place, epoch: 1n })])
      t.is((await other.claim(asked)).outcome, 'in-progress');
    await writing.complete(reply('one'));
    await claimed(t, await other.claim(at(2, place))).release();
  });
}
