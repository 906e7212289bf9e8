import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { RecordAddress } from 'grpc-replay-guard/store';
import { completeObserver } from '#library/options/observer.js';
import { observerMethods, type ReplayGuardObserver } from '#library/replay-guard/observer.js';
import { ObservedStore } from '#library/replay-guard/store-access/observed-store.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { methods, onBoth, openLedger, writeEffect } from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';

const guardOnly = captureUnhandledErrors(test);
const emptied = emptiedData(test);

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
  t.deepEqual(guardOnly.takeUnhandled(), []);
});

test.serial('closing a guard keeps the process alive until the guard is closed', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const guard = createReplayGuard({ store: createMemoryStore(), scope: singleTenant() });
  const before = timers();
  const closing = guard.close();
  t.true(timers() > before);
  await closing;
  t.is(timers(), before);
});

const failing: Record<string, () => void> = {
  throw: () => {
    throw new Error('the metrics are full');
  },
  reject: async () => {
    throw new Error('the metrics are full');
  },
};
for (const engine of engines) {
  for (const [how, method] of Object.entries(failing)) {
    test.serial(`${engine}: an observer whose methods all ${how} has no effect on calls`, async (t) => {
      const observer = Object.fromEntries(Object.keys(observerMethods).map((name) => [name, method]));
      const ledger = await openLedger(t, await emptied(t, engine), {
        guard: { observer },
        handlers: (database) =>
          onBoth(async (account, callback) => {
            await writeEffect(database, account);
            if (account.endsWith('rejects')) throw new Error('secret');
            if (account.endsWith('fails')) return callback({ code: status.NOT_FOUND, details: account });
            callback(null, { entryId: account, transferId: account });
          }),
      });
      for (const method of methods) {
        for (const replayed of [false, true]) {
          const [paid, failed, rejected] = ['pays', 'fails', 'rejects'].map((account) =>
            ledger.ask(method, account, `${method} ${account}`),
          );
          t.like(await paid, { code: status.OK, replayed });
          t.like(await failed, { code: status.NOT_FOUND, replayed });
          t.like(await rejected, { code: status.INTERNAL, replayed: false });
        }
      }
      t.deepEqual(await ledger.effects(), ['append pays', 'transfer pays']);
      t.is(ledger.entered, 8);
      await ledger.guard.close();
      t.deepEqual(guardOnly.takeUnhandled(), []);
    });
  }
}
