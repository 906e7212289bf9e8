import test from 'ava';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';

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
