import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { methods, onBoth, openLedger, writeEffect } from '../../helpers/servers/guarded-ledger.js';

for (const method of methods) {
  for (const where of ['initial', 'trailing'] as const) {
    for (const name of ['connection', 'te', ':path']) {
      test(`${method}: ${where} metadata ${name}, which HTTP/2 refuses, fails the call before its commit`, async (t) => {
        let sends = true;
        const ledger = await openLedger(t, 'sqlite', {
          handlers: (database) =>
            onBoth(async (account, callback, call) => {
              await writeEffect(database, account);
              const metadata = new Metadata();
              if (sends) metadata.set(name, 'keep-alive');
              if (where === 'initial') call.sendMetadata(metadata);
              callback(null, {}, where === 'trailing' ? metadata : undefined);
            }),
        });
        t.is((await ledger.ask(method, 'key', 'alice')).code, status.INTERNAL);
        t.deepEqual(await ledger.effects(), []);
        sends = false;
        t.is((await ledger.ask(method, 'key', 'alice')).code, status.OK);
        t.deepEqual(await ledger.effects(), ['alice']);
      });
    }
  }
}
