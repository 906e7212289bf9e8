import test, { type ExecutionContext } from 'ava';
import type { ClaimRequest, StoreMarks } from 'grpc-replay-guard/store';
import { claimed, completed, digest, hour, reply, request } from '../contracts/store/requests.js';
import { type StoreSubject, storeNames, storeSubjects } from '../contracts/store/store-subject.js';

const subjects = storeSubjects(test);

// Marks are facts about a whole store. A claim can name marks that undo it.
for (const name of storeNames) {
  const it = (
    title: string,
    check: (t: ExecutionContext, subject: StoreSubject, marks: StoreMarks) => Promise<void>,
  ) =>
    test.serial(`${name}: ${title}`, async (t) => {
      const subject = await subjects(t, name);
      await check(t, subject, subject.store.marks as StoreMarks);
    });

  it('the first server sets a mark, and every server finds its number', async (t, { other }, marks) => {
    t.is(await marks.find('one'), undefined);
    const set = await Promise.all([1, 2, 3].map((value) => marks.set('one', value)));
    t.deepEqual(new Set(set).size, 1);
    t.is(await other.marks?.set('one', 4), set[0]);
    t.is(await other.marks?.find('one'), set[0]);
    t.is(await other.marks?.find('two'), undefined);
    t.is(await marks.set('large', Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  });

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: a claim is undone if one of its marks is set`, async (t, { store, other }, marks) => {
      const series = { id: digest('producer'), epoch: 0n, sequence: 0n };
      const operations: ClaimRequest[] = [{}, { series }].map((changes) =>
        request({ atomicity, unless: ['one', 'two'], ...changes }),
      );
      await marks.set('two', 0);
      for (const operation of operations) {
        t.deepEqual(await store.claim(operation), { outcome: 'superseded' });
        t.is(await other.find(operation), undefined);
        t.is(await other.findProducer({ ...operation, id: series.id }), undefined, 'no record is left');
        const { unless: _, ...unmarked } = operation;
        await claimed(t, await other.claim(unmarked)).complete(reply('stored'));
        t.not((await store.claim(operation)).outcome, 'claimed');
        t.is(await store.find({ scope: 'tenant', id: digest('nobody') }), undefined);
        const unset = request({ atomicity, unless: ['three'], retentionMs: hour });
        await claimed(t, await store.claim(unset)).complete(reply('stored'));
      }
    });
  }

  it('a mark that is set during an execution does not undo the execution', async (t, { store, other }) => {
    const operation = request({ atomicity: 'LEASE', unless: ['one'] });
    const claim = claimed(t, await store.claim(operation));
    await other.marks?.set('one', 1);
    await claim.renew();
    await claim.complete(reply('stored'));
    t.deepEqual(completed(t, await other.find(operation)).reply, reply('stored'));
  });

  it('the fence reports the latest expiry, and the store is empty before its first record', async (t, {
    store,
    now,
  }, marks) => {
    t.true(await marks.isEmpty());
    t.is(await marks.refuseEarlierVersions(), 0);
    await claimed(t, await store.claim(request({ retentionMs: 3 * hour }))).complete(reply('key'));
    const series = { id: digest('producer'), epoch: 0n, sequence: 0n };
    await claimed(t, await store.claim(request({ retentionMs: 5 * hour, series }))).complete(reply('first'));
    t.false(await marks.isEmpty());
    const latest = await marks.refuseEarlierVersions();
    t.true(latest >= now() + 5 * hour && latest <= now() + 5 * hour + 60_000);
  });

  it('executions of each kind still work behind the fence', async (t, { store, advance }, marks) => {
    await marks.refuseEarlierVersions();
    const operation = request();
    const orphan = claimed(t, await store.claim(operation));
    await orphan.renew();
    await advance(hour / 2);
    const claim = claimed(t, await store.claim(operation));
    t.true(claim.takenOver);
    await claim.renew();
    await claim.fail(reply('failed'));
    const at = (sequence: bigint) =>
      request({ id: digest(`${sequence}`), series: { id: digest('producer'), epoch: 0n, sequence } });
    for (const sequence of [0n, 1n, 2n])
      await claimed(t, await store.claim(at(sequence))).complete(reply(`${sequence}`));
    claimed(t, await store.claim(at(3n)));
    await advance(hour / 2);
    t.like(await store.erase('tenant', 10), { erased: 2 });
    t.true(claimed(t, await store.claim(at(3n))).takenOver);
  });
}
