import { fileURLToPath } from 'node:url';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { scopeFromMetadata } from 'grpc-replay-guard';
import { snippets } from '../docs/snippets.js';
import { postJson } from '../helpers/calls/post-json.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { createAuthority } from '../helpers/identities/certificates.js';
import { envoy, startEnvoy } from '../helpers/proxies/envoy.js';
import { startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { connectTo } from '../helpers/servers/server.js';
import { assertJsonReplays, assertPasses, testsOf } from './passing.js';

const [settings = ''] = snippets('docs/guide/gateways.md', 'yaml');
const descriptors = fileURLToPath(new URL('../../test-image.binpb', import.meta.url));
const it = testsOf('Envoy', envoy);

/** Starts an Envoy with the settings of the guide in front of a server. */
async function throughEnvoy(t: ExecutionContext, server: string) {
  const authority = await createAuthority(await freshFolder(t), 'clients');
  const edge = await authority.issue('edge', 'localhost');
  const ada = await authority.issue('ada', { type: 'url', value: 'spiffe://shop/ada' });
  const nobody = await authority.issue('nobody', 'nobody.example');
  const replaced: Record<string, string> = {
    'edge.pem': edge.certPath,
    'edge.key': edge.keyPath,
    'clients.pem': authority.certPath,
    'descriptors.binpb': descriptors,
    'shop.order.v1.OrderService': 'test.v1.LedgerService',
    'port_value: 50051': `port_value: ${server.split(':')[1]}`,
  };
  const port = await startEnvoy(t, (listening) =>
    Object.entries({ ...replaced, 'port_value: 8443': `port_value: ${listening}` }).reduce(
      (text, [from, to]) => text.replaceAll(from, to),
      settings,
    ),
  );
  const connect = ({ key, cert }: typeof ada) =>
    connectTo(t, `localhost:${port}`, credentials.createSsl(authority.cert, key, cert));
  return {
    ada: connect(ada),
    nobody: connect(nobody),
    /** Sends a request to Append as ada, in HTTP and JSON. */
    post: (account: string, headers: Record<string, string | string[]>) =>
      postJson(
        `https://localhost:${port}/test.v1.LedgerService/Append`,
        { account },
        { headers, ca: authority.cert, key: ada.key, cert: ada.cert },
      ),
  };
}

it('Envoy passes keys to the server, and trailers and refusals to the client', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { ada } = await throughEnvoy(t, ledger.server.address);
  await assertPasses(t, ada, ledger);
});

it('Envoy names the caller by the certificate, and removes the entry of the client', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromMetadata('x-caller') } });
  const { ada, nobody } = await throughEnvoy(t, ledger.server.address);
  const ask = (client: typeof ada, caller?: string) =>
    client.call(ledger.definition.Append, {}, { key: 'k-1', metadata: caller ? { 'x-caller': caller } : {} });
  t.is((await ask(ada, 'mallory')).code, status.OK);
  t.true((await ask(ada)).replayed);
  t.is((await ask(nobody, 'spiffe://shop/ada')).code, status.UNAUTHENTICATED);
  t.is(ledger.entered, 1);
});

for (const loss of ['cut', 'reset'] as const) {
  it(`Envoy repeats a call whose reply is lost (${loss}), and the client gets the first reply`, async (t) => {
    const ledger = await openLedger(t, 'sqlite');
    let losses = 2;
    const proxy = await startGrpcProxy(t, ledger.server.address, {
      reply: () => (losses-- > 0 ? loss : 'pass'),
    });
    const { ada } = await throughEnvoy(t, proxy.address);
    const reply = await ada.call(ledger.definition.Append, { account: 'ada' }, { key: 'k-1' });
    t.is(reply.code, status.OK, reply.details);
    t.true(reply.replayed);
    t.deepEqual(
      proxy.calls.map(({ headers }) => headers['idempotency-key']),
      ['k-1', 'k-1', 'k-1'],
    );
    t.deepEqual(await ledger.effects(), ['ada']);
  });
}

it('Envoy does not repeat a call without a key', async (t) => {
  const ledger = await openLedger(t, 'sqlite');
  const proxy = await startGrpcProxy(t, ledger.server.address, { reply: () => 'cut' });
  const { ada } = await throughEnvoy(t, proxy.address);
  const reply = await ada.call(ledger.definition.Touch, { account: 'ada' });
  t.is(reply.code, status.UNAVAILABLE);
  t.is(proxy.calls.length, 1);
});

it('Envoy repeats a call that ends as UNAVAILABLE, and no call with another code', async (t) => {
  let failures = 1;
  const ledger = await openLedger(t, 'sqlite', {
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        const code = account === 'busy' ? status.RESOURCE_EXHAUSTED : status.UNAVAILABLE;
        if (account === 'busy' || failures-- > 0) callback({ code });
        else callback(null, { entryId: 'e-1' });
      }),
  });
  const { ada } = await throughEnvoy(t, ledger.server.address);
  const metadata = new Metadata();
  metadata.set('x-envoy-retry-grpc-on', 'resource-exhausted');
  const ask = (account: string) =>
    ada.call(ledger.definition.Append, { account }, { key: account, metadata });
  t.is((await ask('ada')).code, status.OK);
  t.is(ledger.entered, 2);
  t.is((await ask('busy')).code, status.RESOURCE_EXHAUSTED);
  t.is(ledger.entered, 3);
  t.deepEqual(await ledger.effects(), ['ada']);
});

it('Envoy turns JSON into calls with the key, with or without quotes, and copies the trailers to headers', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { post } = await throughEnvoy(t, ledger.server.address);
  await assertJsonReplays(t, post);
  const refusals = [
    ['bob', { 'idempotency-key': 'k-1' }, 'IDEMPOTENCY_KEY_REUSED'],
    ['ada', { 'idempotency-key': ['k-1', 'k-1'] }, 'IDEMPOTENCY_KEY_INVALID'],
    ['ada', {}, 'IDEMPOTENCY_KEY_MISSING'],
  ] as const;
  for (const [account, headers, reason] of refusals) {
    const refused = await post(account, headers as Record<string, string>);
    t.is(refused.status, 400);
    t.like(refused.body, { details: [{ reason, domain: 'grpc-replay-guard' }] });
  }
  t.is(ledger.entered, 1);
});

it('Envoy answers failures of JSON calls with the HTTP code of the guide', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((code, callback) => callback({ code: Number(code), details: 'no' })),
  });
  const { post } = await throughEnvoy(t, ledger.server.address);
  const expected = { ALREADY_EXISTS: 409, FAILED_PRECONDITION: 400, ABORTED: 409, RESOURCE_EXHAUSTED: 429 };
  for (const [name, http] of Object.entries({ ...expected, UNAVAILABLE: 503 })) {
    const code = status[name as keyof typeof status];
    const answer = await post(String(code), { 'idempotency-key': name });
    t.is(answer.status, http, name);
    t.like(answer.body, { code, message: 'no' });
  }
});
