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
  'rejects with no error at all': () => Promise.reject(undefined),
  'answers with what cannot be serialized': (_account, callback) => {
    const text = Object.create(null) as string;
    callback(null, { entryId: text, transferId: text });
  },
  'answers with nothing': (_account, callback) => callback(null, undefined),
};

// What clients see of it, and what becomes of the key, is in the contract's table.
for (const [name, handler] of Object.entries(failures)) {
  test.serial(`of a handler that ${name} the observer is told once, and the client not`, async (t) => {
    const ledger = await openLedger(t, 'memory', { handlers: () => onBoth(handler) });
    const reply = await ledger.append('key');
    t.false(reply.details.includes('secret'));
    t.is(ledger.outcomes.failures.length, 1);
    t.deepEqual(ledger.outcomes.ended, ['released']);
    t.deepEqual(guardOnly.takeUnhandled(), []);
  });
}
