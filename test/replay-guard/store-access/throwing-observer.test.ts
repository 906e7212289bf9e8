import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { RecordAddress } from 'grpc-replay-guard/store';
import { completeObserver } from '#library/options/observer.js';
import { observerMethods, type ReplayGuardObserver } from '#library/replay-guard/observer.js';
import { ObservedStore } from '#library/replay-guard/store-access/observed-store.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';

const guardOnly = captureUnhandledErrors(test);

/** A store whose look-ups are asynchronous. */
class AsynchronousStore extends PassingStore {
  constructor() {
    super(createMemoryStore());
  }

  override async find(address: RecordAddress) {
    await nextTurn();
    return super.find(address);
  }
}

test.serial('a result of the store reaches its call although the observer throws', async (t) => {
  const failure = new Error('the metrics are full');
  const throwing = {
    storeUsed: () => {
      throw failure;
    },
  };
  const observer = completeObserver<ReplayGuardObserver>(throwing, observerMethods);
  const store = new ObservedStore(new AsynchronousStore(), observer, 60_000);
  t.is(await store.find({ scope: 'tenant', id: Buffer.alloc(32) }), undefined);
  await nextTurn();
  t.deepEqual(guardOnly.takeUnhandled(), [failure]);
});

test.serial('closing a guard keeps the process alive until the guard is closed', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const guard = createReplayGuard({ store: createMemoryStore(), scope: singleTenant() });
  const before = timers();
  const closing = guard.close();
  t.is(timers(), before + 1);
  await closing;
  t.is(timers(), before);
});
