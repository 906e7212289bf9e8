import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard';
import { emptiedData } from '../helpers/emptied-data.js';
import { engines } from '../helpers/engines.js';
import { type LedgerHandlers, methods, onBoth, openLedger, writeEffect } from '../helpers/guarded-ledger.js';
import { listenAlone } from '../helpers/rejections.js';

const emptied = emptiedData(test);
const guardOnly = listenAlone(test);

/** A server of its own would still be up. */
async function assertAlive(t: ExecutionContext) {
  await nextTurn();
  t.deepEqual(guardOnly.takeEscaped(), []);
}

/** What a handler can do wrong after it has written, by name. */
const failures: Record<string, (fail: boolean) => Parameters<typeof onBoth>[0]> = {
  'rejects at once': (fail) => async (_account, callback) => {
    if (fail) throw new Error('secret');
    callback(null, {});
  },
  'throws synchronously': (fail) => (_account, callback) => {
    if (fail) throw new Error('secret');
    callback(null, {});
  },
  'rejects with no error at all': (fail) => async (_account, callback) => {
    if (fail) await Promise.reject(undefined);
    callback(null, {});
  },
  'answers with what cannot be serialized': (fail) => (_account, callback) => {
    const text = Object.create(null) as string;
    callback(null, fail ? { entryId: text, transferId: text } : {});
  },
  'answers with nothing': (fail) => (_account, callback) => {
    callback(null, fail ? undefined : {});
  },
};

/** Fails the first execution, after its write where it can wait for it. */
function failing(handler: (fail: boolean) => Parameters<typeof onBoth>[0], writes: boolean) {
  let executions = 0;
  return (database: Database): Partial<LedgerHandlers> =>
    onBoth((account, callback, call) => {
      const run = handler(++executions === 1);
      if (!writes) return run(account, callback, call);
      return writeEffect(database, account).then(() => run(account, callback, call));
    });
}

for (const engine of engines) {
  for (const method of methods) {
    for (const [name, handler] of Object.entries(failures)) {
      for (const writes of [false, true]) {
        const title = `${engine}, ${method}: a handler that ${name}${writes ? ' after a write' : ''}`;
        test.serial(title, async (t) => {
          const ledger = await openLedger(t, await emptied(t, engine), {
            handlers: failing(handler, writes),
          });
          const first = await ledger.ask(method, 'key', 'alice');
          t.like(first, { code: status.INTERNAL, replayed: false, statusDetails: undefined });
          t.false(first.details.includes('secret'), 'what went wrong inside is not for the client');
          t.is(first.trailers.get('grpc-retry-pushback-ms').length, 0);
          t.deepEqual(await ledger.effects(), []);
          t.is(ledger.outcomes.failures.length, 1);
          t.deepEqual(ledger.outcomes.ended, ['released']);
          t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: false });
          t.is(ledger.entered, 2);
          t.deepEqual(await ledger.effects(), writes ? ['alice'] : []);
          await assertAlive(t);
        });
      }
    }

    test.serial(`${engine}, ${method}: a handler that rejects after it has answered`, async (t) => {
      const ledger = await openLedger(t, await emptied(t, engine), {
        handlers: (database) =>
          onBoth(async (account, callback) => {
            await writeEffect(database, account);
            callback(null, { entryId: 'kept' });
            throw new Error('too late');
          }),
      });
      t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: false });
      t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: true });
      t.deepEqual(await ledger.effects(), ['alice']);
      await assertAlive(t);
    });

    test.serial(`${engine}, ${method}: a handler that answers twice`, async (t) => {
      const ledger = await openLedger(t, await emptied(t, engine), {
        handlers: (database) =>
          onBoth(async (account, callback) => {
            await writeEffect(database, account);
            callback(null, { entryId: 'first', transferId: 'first' });
            callback(null, { entryId: 'second', transferId: 'second' });
            callback({ code: status.NOT_FOUND, details: 'third' });
          }),
      });
      const first = await ledger.ask(method, 'key', 'alice');
      t.is(first.code, status.OK);
      t.true([first.message?.entryId, first.message?.transferId].includes('first'));
      const second = await ledger.ask(method, 'key', 'alice');
      t.like(second, { code: status.OK, replayed: true });
      t.deepEqual(second.bytes, first.bytes);
      t.is(ledger.entered, 1);
      t.deepEqual(await ledger.effects(), ['alice']);
    });
  }
}
