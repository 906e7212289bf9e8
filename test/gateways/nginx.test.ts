import { Metadata, status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { snippets } from '../docs/snippets.js';
import { startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { nginx, startNginx } from '../helpers/proxies/nginx.js';
import { type Ledger, onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { connectTo } from '../helpers/servers/server.js';
import { assertPasses, openGatedLedger, testsOf } from './passing.js';

const [settings = ''] = snippets('docs/guide/gateways.md', 'nginx');

const it = testsOf('nginx', nginx);

/** Opens a client to an nginx with the settings of the guide, in front of two addresses. */
async function throughNginx(t: ExecutionContext, [first, second]: readonly [string, string]) {
  const address = await startNginx(t, (port) =>
    settings
      .replace('127.0.0.1:50051', first)
      .replace('127.0.0.1:50052', second)
      .replace('127.0.0.1:8080', `127.0.0.1:${port}`),
  );
  return connectTo(t, address);
}

const both = ({ server }: Ledger) => [server.address, server.address] as const;

it('nginx passes keys to the server, and trailers and refusals to the client', async (t) => {
  const ledger = await openLedger(t, 'memory');
  await assertPasses(t, await throughNginx(t, both(ledger)), ledger);
});

it('nginx removes the entry that only the proxy may set', async (t) => {
  const callers: string[] = [];
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth((_account, callback, { metadata }) => {
        callers.push(metadata.get('x-caller').join());
        callback(null, {});
      }),
  });
  const client = await throughNginx(t, both(ledger));
  const metadata = new Metadata();
  metadata.set('x-caller', 'mallory');
  await client.call(ledger.definition.Append, {}, { key: 'k-1', metadata });
  t.deepEqual(callers, ['']);
});

it('nginx answers a call whose reply is lost with UNAVAILABLE, and the retry of the client replays', async (t) => {
  const ledger = await openLedger(t, 'sqlite');
  let losses = 1;
  const proxy = await startGrpcProxy(t, ledger.server.address, {
    reply: () => (losses-- > 0 ? 'cut' : 'pass'),
  });
  const client = await throughNginx(t, [proxy.address, proxy.address]);
  const ask = () => client.call(ledger.definition.Append, { account: 'ada' }, { key: 'k-1' });
  t.is((await ask()).code, status.UNAVAILABLE);
  const reply = await ask();
  t.is(reply.code, status.OK, reply.details);
  t.true(reply.replayed);
  t.is(proxy.calls.length, 2);
  t.deepEqual(await ledger.effects(), ['ada']);
});

it('nginx sends a call to the second server if the first one is down', async (t) => {
  const [gone, ledger] = [await openLedger(t, 'memory'), await openLedger(t, 'memory')];
  gone.server.kill();
  const client = await throughNginx(t, [gone.server.address, ledger.server.address]);
  const reply = await client.call(ledger.definition.Append, {}, { key: 'k-1' });
  t.is(reply.code, status.OK, reply.details);
  t.is(ledger.entered, 1);
});

it('a client that disconnects from nginx does not stop the handler, and the retry gets the reply', async (t) => {
  const { gate, ledger } = await openGatedLedger(t);
  const client = await throughNginx(t, both(ledger));
  const leaving = new AbortController();
  const ask = (signal?: AbortSignal) =>
    client.call(ledger.definition.Append, { account: 'ada' }, { key: 'k-1', ...(signal && { signal }) });
  const left = ask(leaving.signal);
  await gate.reached();
  leaving.abort();
  t.is((await left).code, status.CANCELLED);
  gate.open();
  t.is((await ask()).code, status.OK);
  t.is(ledger.entered, 1);
  t.deepEqual(await ledger.effects(), ['ada']);
});
