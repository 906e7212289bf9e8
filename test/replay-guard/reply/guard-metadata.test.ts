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

/** Each way in which a call comes to its handler. */
const ways: Record<string, { readonly guard: Partial<ReplayGuardOptions>; readonly isDown?: true }> = {
  ENFORCE: { guard: {} },
  OBSERVE: { guard: { mode: 'OBSERVE' } },
  'EXECUTE, the store down': {
    guard: { policies: { '/test.v1.LedgerService/Append': { onStoreFailure: 'EXECUTE' } } },
    isDown: true,
  },
};

for (const [way, { guard, isDown }] of Object.entries(ways)) {
  test(`${way}: what a handler passes on of another guarded server says nothing of its own call`, async (t) => {
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
            // Of another code: this failure is not kept here.
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
