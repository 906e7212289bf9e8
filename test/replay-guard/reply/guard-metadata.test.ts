import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import { createIdempotencyInterceptor } from 'grpc-replay-guard/client';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { OpenStore } from 'grpc-replay-guard/store';
import { Connection } from '../../helpers/calls/call.js';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';

class Down extends PassingStore {
  override claim(): never {
    throw new Error('down');
  }
}

/** The ways in which the guard runs a handler. */
const ways: Record<string, { readonly guard: Partial<ReplayGuardOptions>; readonly isDown?: true }> = {
  ENFORCE: { guard: {} },
  OBSERVE: { guard: { mode: 'OBSERVE' } },
  'EXECUTE while the store is down': {
    guard: { policies: { '/test.v1.LedgerService/Append': { onStoreFailure: 'EXECUTE' } } },
    isDown: true,
  },
};

for (const [way, { guard, isDown }] of Object.entries(ways)) {
  test(`${way}: guard metadata that a handler copies from another server is not sent`, async (t) => {
    const far = await openLedger(t, 'memory', {
      handlers: () =>
        onBoth((account, callback) =>
          account === 'fails' ? callback({ code: status.NOT_FOUND }) : callback(null, { entryId: 'far' }),
        ),
    });
    const interceptors = [createIdempotencyInterceptor()];
    const { client } = new Connection(far.server.address, credentials.createInsecure(), { interceptors });
    t.teardown(() => client.close());
    const { path, requestSerialize, responseDeserialize } = far.definition.Append;
    const store = new MemoryStore();
    const near = await openLedger(t, 'memory', {
      guard,
      opened: { store: isDown ? new Down(store) : store } as unknown as OpenStore,
      handlers: () =>
        onBoth((account, callback) => {
          let failure: ServiceError | null;
          const call = client.makeUnaryRequest(
            path,
            requestSerialize,
            responseDeserialize,
            { account },
            (error) => {
              failure = error;
            },
          );
          call.on('status', ({ metadata }) => {
            t.is(metadata.get('idempotency-expires-at').length, 1);
            metadata.set('x-own', 'kept');
            // ABORTED is not a replayed code, so this failure is not stored.
            if (failure) callback({ code: status.ABORTED, metadata });
            else callback(null, { entryId: 'near' }, metadata);
          });
        }),
    });
    const isStored = way === 'ENFORCE';
    for (const [account, code, kept] of [
      ['fails', status.ABORTED, false],
      ['does', status.OK, isStored],
    ] as const) {
      const { trailers, ...reply } = await near.append(account, { account });
      t.like(reply, { code, replayed: false });
      t.deepEqual(trailers.get('x-own'), ['kept']);
      t.is(trailers.get('idempotency-expires-at').length, kept ? 1 : 0);
    }
  });
}
