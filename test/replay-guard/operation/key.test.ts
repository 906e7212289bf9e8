import { status } from '@grpc/grpc-js';
import test from 'ava';
import { callByHttp2, connectHttp2 } from '../../helpers/calls/http2-call.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

test('a key that no gRPC library would send is refused before the handler', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const session = connectHttp2(t, `http://${ledger.server.address}`);
  for (const key of ['a\tb', 'schlüssel', 'a\u00ffb', ['a', 'b'], ['a', 'a'], ['', '']]) {
    const reply = await callByHttp2(session, ledger.definition.Append.path, { 'idempotency-key': key });
    t.deepEqual(
      reply,
      { code: status.INVALID_ARGUMENT, reason: 'IDEMPOTENCY_KEY_INVALID', fields: ['idempotency-key'] },
      JSON.stringify(key),
    );
  }
  t.is(ledger.entered, 0);
});
