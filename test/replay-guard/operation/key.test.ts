import { once } from 'node:events';
import { connect } from 'node:http2';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { decodeStatusDetails } from '../../helpers/messages/status-details.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

test('a key that no gRPC library would send is refused before the handler', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const http = connect(`http://${ledger.server.address}`);
  t.teardown(() => http.destroy());
  for (const key of ['a\tb', 'schlüssel', 'a\u00ffb', ['a', 'b'], ['a', 'a'], ['', '']]) {
    const stream = http.request({
      ...{ ':method': 'POST', ':path': ledger.definition.Append.path },
      ...{ 'content-type': 'application/grpc', te: 'trailers', 'idempotency-key': key },
    });
    stream.end(Buffer.alloc(5));
    const [headers] = await once(stream, 'response');
    t.is(headers['grpc-status'], String(status.INVALID_ARGUMENT), JSON.stringify(key));
    t.is(headers['grpc-retry-pushback-ms'], undefined);
    const packed = Buffer.from(String(headers['grpc-status-details-bin']), 'base64');
    // grpc-js drops a value with invalid characters. The key is then missing.
    t.regex(String(decodeStatusDetails(packed).errorInfo?.reason), /^IDEMPOTENCY_KEY_(INVALID|MISSING)$/);
    stream.resume();
  }
  t.is(ledger.entered, 0);
});
