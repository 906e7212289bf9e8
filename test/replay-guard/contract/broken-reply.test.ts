import { credentials, status } from '@grpc/grpc-js';
import test from 'ava';
import { createRetryServiceConfig } from 'grpc-replay-guard/client';
import { Connection } from '../../helpers/calls/call.js';
import { startGrpcProxy } from '../../helpers/proxies/grpc-proxy.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

test('the connection breaks after the reply began: gRPC does not retry, and a call with the same key gets the reply', async (t) => {
  const ledger = await openLedger(t, 'sqlite');
  const proxy = await startGrpcProxy(t, ledger.server.address, {
    reply: ({ index }) => (index === 0 ? 'half' : 'pass'),
  });
  const connection = new Connection(proxy.address, credentials.createInsecure(), {
    'grpc.enable_retries': 1,
    'grpc.service_config': JSON.stringify(createRetryServiceConfig()),
  });
  t.teardown(() => connection.close());
  const ask = () => connection.call(ledger.definition.Append, { account: 'alice' }, { key: 'key' });
  const broken = await ask();
  t.not(broken.code, status.OK);
  t.truthy(broken.initial, 'the reply began');
  t.is(proxy.calls.length, 1);
  t.like(await ask(), { code: status.OK, replayed: true });
  t.deepEqual(await ledger.effects(), ['alice']);
});

test('a handler that fails at the deadline is executed again by the retry', async (t) => {
  const ledger = await openLedger(t, 'sqlite', {
    handlers: () => ({
      // A handler that forwards the deadline fails when its downstream call fails.
      Append: (call, callback) => {
        if (ledger.entered > 1) callback(null, { entryId: 'second' });
        else
          call.once('cancelled', () =>
            callback({ code: status.UNAVAILABLE, details: 'downstream timed out' }),
          );
      },
    }),
  });
  t.is((await ledger.append('key', {}, { deadlineMs: 300 })).code, status.DEADLINE_EXCEEDED);
  t.like(await ledger.append('key'), { code: status.OK, replayed: false, message: { entryId: 'second' } });
  t.like(await ledger.append('key'), { code: status.OK, replayed: true, message: { entryId: 'second' } });
});
