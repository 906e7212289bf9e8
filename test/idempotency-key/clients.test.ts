import { credentials, Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { idempotencyKeys, newIntent, sendUntilKnown, withIdempotencyKey } from 'grpc-replay-guard/client';
import { startGrpcProxy } from '../helpers/grpc-proxy.js';
import { openLedger } from '../helpers/guarded-ledger.js';
import { generatedClients } from './generated-clients.js';

for (const [kind, open] of Object.entries(generatedClients)) {
  test(`${kind}: a client with the interceptor, with a kept key, and until it knows`, async (t) => {
    const ledger = await openLedger(t, 'sqlite');
    let replies = 0;
    const proxy = await startGrpcProxy(t, ledger.server.address, {
      reply: () => (++replies % 2 === 0 ? 'pass' : 'cut'),
    });
    const keyed = open(proxy.address, credentials.createInsecure(), { interceptors: [idempotencyKeys()] });
    const bare = open(proxy.address, credentials.createInsecure(), {});
    t.teardown(() => {
      keyed.close();
      bare.close();
    });
    const once = (client: typeof keyed, account: string, metadata = new Metadata()) =>
      new Promise<string | status>((resolve) => {
        client.append(account, metadata, { deadline: Date.now() + 30_000 }, (error, id) =>
          resolve(error ? error.code : String(id)),
        );
      });

    // Every other reply is lost, so each of these is made twice.
    t.is(await once(keyed, 'a'), status.UNAVAILABLE);
    t.regex(String(await once(keyed, 'b')), /^[0-9a-f-]{36}$/);
    const { key, firstSent } = newIntent();
    const metadata = withIdempotencyKey(key, firstSent === undefined ? {} : { firstSent });
    t.is(await once(bare, 'c', metadata), status.UNAVAILABLE);
    t.regex(String(await once(bare, 'c', metadata)), /^[0-9a-f-]{36}$/);

    const backoff = { initialBackoffMs: 10, maxBackoffMs: 100 };
    for (const client of [keyed, bare]) {
      const outcome = await sendUntilKnown<string>((...sent) => client.append('d', ...sent), backoff);
      t.like(outcome, { outcome: 'done', replayed: true });
      if (outcome.outcome === 'done') t.regex(outcome.response, /^[0-9a-f-]{36}$/);
    }
    t.deepEqual(await ledger.effects(), ['a', 'b', 'c', 'd', 'd']);
  });
}
