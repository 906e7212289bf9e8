import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import type { Claim, ClaimRequest, ClaimResult, FirstSent } from 'grpc-replay-guard/store';
import { poll } from '../../helpers/waiting/poll.js';
import { claimed, completed, digest, hour, minute, reply, request } from './requests.js';
import { type StoreSubject, storeNames, storeSubjects } from './store-subject.js';

const subjects = storeSubjects(test);

/** The bounds of the first-sent time, in milliseconds from now, and the expected outcome for a new key. */
const freshKeys: readonly (readonly [number, number, 'claimed' | 'expired'])[] = [
  [0, 0, 'claimed'],
  [-hour + 1, 0, 'claimed'],
  [-hour + 1, -hour + 1, 'claimed'],
  [-hour, 0, 'expired'],
  [-hour, -hour, 'expired'],
  [-hour + 0.5, 0, 'expired'],
  [-1_000 * hour, 0, 'expired'],
  [0, 5 * minute, 'claimed'],
  [5 * minute, 5 * minute, 'claimed'],
  [0, 5 * minute + 1, 'expired'],
  [0, 5 * minute + 0.5, 'expired'],
  [-hour, 5 * minute + 1, 'expired'],
  [1_000 * hour, 1_000 * hour, 'expired'],
];

type Retained = 'in progress' | 'lease ran out' | 'completed' | 'erased' | 'expired';

// An operation with a first-sent time never starts after its record could have been purged.
for (const name of storeNames) {
  const it = (title: string, check: (t: ExecutionContext, subject: StoreSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await subjects(t, name)));

  for (const atomicity of ['LEASE', 'TRANSACTION'] as const) {
    it(`${atomicity}: the first-sent time decides whether a new key is claimed`, async (t, {
      store,
      now,
    }) => {
      for (const [earliest, latest, expected] of freshKeys) {
        const sent = { earliestMs: now() + earliest, latestMs: now() + latest };
        const result = await store.claim(request({ atomicity, firstSent: sent }));
        t.is(result.outcome, expected, `${earliest} to ${latest}`);
        if (result.outcome === 'claimed') await result.claim.release();
      }
      // Postgres learns of the released records a moment later.
      await poll('a refusal leaves no record', async () => (await store.estimateRecords()) === 0);
    });
  }

  /** Claims a key now and gives its record a state. */
  const retain = async (t: ExecutionContext, { store, advance }: StoreSubject, state: Retained) => {
    const operation = request({ retentionMs: state === 'expired' ? 15 * minute : hour });
    const claim = claimed(t, await store.claim(operation));
    if (state === 'completed' || state === 'erased' || state === 'expired')
      await claim.complete(reply('done'));
    if (state === 'erased') await store.erase('tenant', 1);
    if (state === 'lease ran out' || state === 'expired') await advance(15 * minute);
    return { operation, claim };
  };

  const sentTimes = (now: number): Record<'fine' | 'too old' | 'ahead', FirstSent> => ({
    fine: { earliestMs: now - 14 * minute, latestMs: now },
    'too old': { earliestMs: now - hour, latestMs: now },
    ahead: { earliestMs: now, latestMs: now + 5 * minute + 1 },
  });
  const cases: Record<Retained, Record<'fine' | 'too old' | 'ahead', ClaimResult['outcome']>> = {
    'in progress': { fine: 'in-progress', 'too old': 'in-progress', ahead: 'in-progress' },
    // A takeover starts a new execution.
    'lease ran out': { fine: 'claimed', 'too old': 'in-progress', ahead: 'in-progress' },
    completed: { fine: 'completed', 'too old': 'completed', ahead: 'completed' },
    erased: { fine: 'erased', 'too old': 'erased', ahead: 'erased' },
    expired: { fine: 'claimed', 'too old': 'expired', ahead: 'expired' },
  };
  for (const [state, outcomes] of Object.entries(cases) as [Retained, (typeof cases)[Retained]][]) {
    it(`the first-sent time decides the answer for a key in the state: ${state}`, async (t, subject) => {
      const { operation } = await retain(t, subject, state);
      for (const when of ['too old', 'ahead', 'fine'] as const) {
        const sent = sentTimes(subject.now())[when];
        // With a retention of 15 minutes, a request that was sent 14 minutes ago may still execute.
        t.is((await subject.other.claim({ ...operation, firstSent: sent })).outcome, outcomes[when], when);
      }
    });
  }

  it('a refusal because of the first-sent time does not change the record', async (t, subject) => {
    const { store, other, now } = subject;
    const { operation, claim } = await retain(t, subject, 'lease ran out');
    const before = await other.find(operation);
    for (const when of ['too old', 'ahead'] as const) {
      await other.claim({ ...operation, fingerprint: digest('changed'), firstSent: sentTimes(now())[when] });
      await other.claim({ ...operation, firstSent: sentTimes(now())[when] });
    }
    t.deepEqual(await other.find(operation), before);
    await claim.complete(reply('late'));
    t.deepEqual(completed(t, await store.claim(operation)).reply, reply('late'));
  });

  it('every server refuses an operation whose record was purged', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const sent = { earliestMs: now() - minute, latestMs: now() };
    const operation: ClaimRequest = request({ firstSent: sent });
    await claimed(t, await store.claim(operation)).complete(reply('done'));
    await advance(hour - 1);
    for (const server of [store, other]) completed(t, await server.claim(operation));
    await advance(1);
    for (const server of [store, other]) t.is((await server.claim(operation)).outcome, 'expired');
    t.is((await store.purge(10)).purged, 1);
    for (const server of [store, other]) t.is((await server.claim(operation)).outcome, 'expired');
  });

  it('a key with a first-sent time ahead of the clock is retained until the operation is too old', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const ahead = now() + 5 * minute;
    const operation: ClaimRequest = request({ firstSent: { earliestMs: ahead, latestMs: ahead } });
    const claim = claimed(t, await store.claim(operation));
    await claim.complete(reply('done'));
    // The database's clock may have advanced by some milliseconds since the claim.
    await advance(hour + 4 * minute);
    for (const server of [store, other]) completed(t, await server.claim(operation));
    await advance(minute);
    for (const server of [store, other]) t.is((await server.claim(operation)).outcome, 'expired');
  });

  it('the first-sent time decides whether an initial sequence is claimed', async (t, { store, now }) => {
    for (const [earliest, latest, expected] of freshKeys) {
      const firstSent = { earliestMs: now() + earliest, latestMs: now() + latest };
      const series = { id: digest(randomUUID()), epoch: 7n, sequence: 1n };
      const result = await store.claim(request({ series, firstSent }));
      t.is(result.outcome, expected, `${earliest} to ${latest}`);
      const found = await store.findProducer({ scope: 'tenant', id: series.id });
      t.is(found?.running?.sequence, expected === 'claimed' ? 1n : undefined);
      if (result.outcome !== 'claimed') continue;
      t.is(found?.epoch, 7n);
      t.is(result.claim.expiresAtMs, now() + Math.max(earliest, 0) + hour);
      await result.claim.complete(reply('one'));
      completed(t, await store.claim(request({ series, firstSent })));
    }
  });

  it('a takeover does not shorten the retention of the first claim', async (t, subject) => {
    const { store, other, now, advance } = subject;
    const ahead = now() + 5 * minute;
    const operation: ClaimRequest = request({
      leaseMs: minute,
      firstSent: { earliestMs: ahead, latestMs: ahead },
    });
    const { expiresAtMs } = claimed(t, await store.claim(operation));
    await advance(minute);
    const { firstSent, ...undated } = operation;
    const taken = claimed(t, await other.claim(undated));
    t.deepEqual([taken.takenOver, taken.expiresAtMs], [true, expiresAtMs]);
    await taken.release();
  });

  it('one of 20 simultaneous claims from two servers is granted, unless the operation is too old', async (t, subject) => {
    const { store, other, now } = subject;
    const ask = async (sent: FirstSent): Promise<Claim[]> => {
      const operation = request({ firstSent: sent });
      const claims = Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).claim(operation));
      return (await Promise.all(claims)).flatMap((result) =>
        result.outcome === 'claimed' ? [result.claim] : [],
      );
    };
    t.is((await ask(sentTimes(now()).fine)).length, 1);
    t.is((await ask(sentTimes(now())['too old'])).length, 0);
  });
}
