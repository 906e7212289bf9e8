import { status } from '@grpc/grpc-js';
import test from 'ava';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { OpenStore } from 'grpc-replay-guard/store';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';

const guardOnly = captureUnhandledErrors(test);

const failures: Record<string, Parameters<typeof onBoth>[0]> = {
  'rejects at once': async () => {
    throw new Error('secret');
  },
  'throws synchronously': () => {
    throw new Error('secret');
  },
  'rejects without an error': () => Promise.reject(undefined),
  'answers with a message that cannot be serialized': (_account, callback) => {
    const text = Object.create(null) as string;
    callback(null, { entryId: text, transferId: text });
  },
  'answers without a message': (_account, callback) => callback(null, undefined),
};

// The contract tests check the answer to the client and the state of the key.
for (const [name, handler] of Object.entries(failures)) {
  test.serial(
    `the failure of a handler that ${name} is reported to the observer once and hidden from the client`,
    async (t) => {
      const ledger = await openLedger(t, 'memory', { handlers: () => onBoth(handler) });
      const reply = await ledger.append('key');
      t.false(reply.details.includes('secret'));
      t.is(ledger.outcomes.failures.length, 1);
      t.deepEqual(ledger.outcomes.ended, ['released']);
      t.deepEqual(guardOnly.takeUnhandled(), []);
    },
  );
}

class DownStore extends PassingStore {
  override async claim(): Promise<never> {
    throw new DatabaseUnavailableError('on purpose');
  }
}

const path = '/test.v1.LedgerService/Append';
const unguarded = {
  'without a key': { policy: { key: 'OPTIONAL' } as const, key: undefined, answer: false },
  'without a key, after its answer': { policy: { key: 'OPTIONAL' } as const, key: undefined, answer: true },
  'while the store is down': { policy: { onStoreFailure: 'EXECUTE' } as const, key: 'key', answer: false },
};

for (const [name, { policy, key, answer }] of Object.entries(unguarded)) {
  test.serial(`a handler that runs unguarded ${name} and rejects is reported to the observer`, async (t) => {
    const ledger = await openLedger(t, 'memory', {
      opened: { store: new DownStore(createMemoryStore()) } as unknown as OpenStore,
      guard: { policies: { [path]: policy } },
      handlers: () =>
        onBoth(async (_account, callback) => {
          if (answer) callback(null, {});
          throw new Error('secret');
        }),
    });
    const reply = await ledger.append(key);
    t.is(reply.code, answer ? status.OK : status.INTERNAL);
    t.false(reply.details.includes('secret'));
    t.is(ledger.outcomes.failures.length, 1);
    t.deepEqual(guardOnly.takeUnhandled(), []);
  });
}
