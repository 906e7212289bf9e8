import test, { type ExecutionContext } from 'ava';
import { DatabaseUnavailableError, LeaseLostError } from 'grpc-replay-guard/database';
import type { Claim } from 'grpc-replay-guard/store';
import type { GuardedCall } from '#library/replay-guard/call/guarded-call.js';
import { Lease } from '#library/replay-guard/lifecycle/lease.js';
import { Wait } from '#library/replay-guard/lifecycle/wait.js';
import type { ObservedStore } from '#library/replay-guard/store-access/observed-store.js';
import { LazySignal } from '#library/timing/lazy-signal.js';
import { poll } from '../../helpers/waiting/poll.js';

/** A lease whose heartbeats get their answer from `renew`. Records the heartbeats and the losses. */
function leaseOf(t: ExecutionContext, leaseMs: number, renew: () => void | Promise<void>, ageMs = 0) {
  const lost: LeaseLostError[] = [];
  let heartbeats = 0;
  const store = {
    renew: () => {
      heartbeats++;
      return renew();
    },
  } as unknown as ObservedStore;
  const startedAt = performance.now();
  let lostAfterMs = Number.NaN;
  const lease = new Lease(store, {} as Claim, leaseMs, startedAt - ageMs, (error) => {
    lostAfterMs = performance.now() - startedAt;
    lost.push(error);
  });
  t.teardown(() => lease.stop());
  return { lease, lost, heartbeats: () => heartbeats, lostAfterMs: () => lostAfterMs };
}

test('a lease whose heartbeats are answered at once or later is held', async (t) => {
  for (const renew of [() => {}, () => Promise.resolve()]) {
    const { lease, lost, heartbeats } = leaseOf(t, 1_200, renew);
    await poll('the lease was renewed several times', () => heartbeats() >= 4);
    t.true(lease.isHeld);
    lease.stop();
    t.deepEqual(lost, []);
  }
});

test('a lease whose heartbeat is never answered is lost once, after its length', async (t) => {
  const { lease, lost, heartbeats, lostAfterMs } = leaseOf(t, 150, () => new Promise(() => {}));
  await poll('the lease is lost', () => lost.length > 0);
  t.false(lease.isHeld);
  t.true(lost[0] instanceof LeaseLostError);
  t.true(lostAfterMs() >= 150);
  t.is(heartbeats(), 1);
  t.is(lost.length, 1);
});

for (const [how, fails] of Object.entries({
  'reject as unavailable': () => Promise.reject(new DatabaseUnavailableError('on purpose')),
  'throw at once': () => {
    throw new DatabaseUnavailableError('on purpose');
  },
})) {
  test(`a lease whose heartbeats ${how} is renewed again and again, then lost`, async (t) => {
    const { lease, lost, heartbeats, lostAfterMs } = leaseOf(t, 300, fails);
    await poll('the lease is lost', () => lost.length > 0);
    t.false(lease.isHeld);
    t.true(lostAfterMs() >= 300);
    t.true(heartbeats() >= 2, `${heartbeats()} heartbeats`);
  });
}

test('a lease that another execution has taken over is lost at its heartbeat', async (t) => {
  const reason = new LeaseLostError('taken over');
  const { lease, lost } = leaseOf(t, 3_000, () => Promise.reject(reason));
  await poll('the lease is lost', () => lost.length > 0);
  t.deepEqual(lost, [reason]);
  t.false(lease.isHeld);
});

test('a lease that has expired before its first heartbeat is lost without a heartbeat', async (t) => {
  const { lease, lost, heartbeats } = leaseOf(t, 5_000, () => {}, 5_000);
  t.false(lease.isHeld);
  await poll('the lease is lost', () => lost.length > 0);
  t.is(heartbeats(), 0);
});

test('a stopped lease sends no heartbeat and is never lost', async (t) => {
  const { lease, lost, heartbeats } = leaseOf(t, 60, () => {});
  lease.stop();
  const other = leaseOf(t, 100, () => new Promise(() => {}));
  await poll('a lease that was taken later is lost', () => other.lost.length > 0);
  t.is(heartbeats(), 0);
  t.deepEqual(lost, []);
});

const waitOf = (ended: LazySignal) =>
  new Wait({ remainingMs: Number.POSITIVE_INFINITY, ended } as GuardedCall, new LazySignal(), 60_000);

function aborted(): LazySignal {
  const signal = new LazySignal();
  signal.abort();
  return signal;
}

/** Resolves to a text after several microtasks, as a look-up of an embedded store does. */
async function lookUp(): Promise<string> {
  for (let i = 0; i < 10; i++) await undefined;
  return 'found';
}

test('a look-up that needs no timer gives its result after the call has ended', async (t) => {
  t.is(await waitOf(aborted()).resultOf(lookUp()), 'found');
});

test('a look-up that does not end gives no result after the call has ended', async (t) => {
  t.is(await waitOf(aborted()).resultOf(new Promise(() => {})), undefined);
});

test('the end of a call ends the wait for a result', async (t) => {
  const ended = new LazySignal();
  const waiting = waitOf(ended).resultOf(new Promise(() => {}));
  ended.abort();
  t.is(await waiting, undefined);
});
