import { type ChannelCredentials, credentials, Server, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { service } from 'grpc-health-check';
import { ConfigError } from '#src/config/config.js';
import {
  clientCredentials,
  internalCredentials,
  readTlsFiles,
  serverCredentials,
  type TlsFiles,
} from '#src/server/credentials.js';
import { addHealth } from '#src/server/health.js';
import { listen } from '#src/server/server.js';
import { Connection } from '../helpers/calls/call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { createAuthority, type Pair, selfSigned } from '../helpers/identities/certificates.js';

type Test = ExecutionContext;

async function serve(t: Test, tls: TlsFiles | undefined): Promise<number> {
  const server = new Server();
  addHealth(server, []);
  t.teardown(() => server.forceShutdown());
  return listen(server, { host: '127.0.0.1', port: 0 }, serverCredentials(tls));
}

async function codeOf(t: Test, port: number, creds: ChannelCredentials, host = '127.0.0.1') {
  const connection = new Connection(`${host}:${port}`, creds);
  t.teardown(() => connection.close());
  const check = service.Check as NonNullable<(typeof service)['Check']>;
  return (await connection.call(check, { service: '' }, { deadlineMs: 10_000 })).code;
}

const files = (pair: Pair, more: Partial<Record<'clientCa' | 'ca', string>> = {}) =>
  readTlsFiles({
    cert: pair.certPath,
    key: pair.keyPath,
    clientCa: undefined,
    ca: undefined,
    ...more,
  }) as TlsFiles;

test('without TLS settings all credentials are plaintext', async (t) => {
  const port = await serve(t, undefined);
  t.is(await codeOf(t, port, clientCredentials(undefined)), status.OK);
  t.is(await codeOf(t, port, internalCredentials(undefined)), status.OK);
});

test('TLS accepts a client that trusts the authority and refuses a plaintext client', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const tls = files(await ca.issue('server', 'localhost'));
  const port = await serve(t, tls);
  t.is(await codeOf(t, port, credentials.createSsl(ca.cert), 'localhost'), status.OK);
  t.is(await codeOf(t, port, credentials.createInsecure(), 'localhost'), status.UNAVAILABLE);
  t.is(await codeOf(t, port, credentials.createSsl(), 'localhost'), status.UNAVAILABLE);
});

test('mutual TLS accepts only certificates of the client authority', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const stranger = await (await createAuthority(folder, 'strangers')).issue('stranger', 'stranger');
  const client = await ca.issue('client', 'client');
  const tls = files(await ca.issue('server', 'localhost'), { clientCa: ca.certPath });
  const port = await serve(t, tls);
  const as = (pair: Pair) => credentials.createSsl(ca.cert, pair.key, pair.cert);
  t.is(await codeOf(t, port, as(client), 'localhost'), status.OK);
  t.is(await codeOf(t, port, as(stranger), 'localhost'), status.UNAVAILABLE);
  t.is(await codeOf(t, port, credentials.createSsl(ca.cert), 'localhost'), status.UNAVAILABLE);
});

test('a remote inventory is trusted by TLS_CA, else by TLS_CLIENT_CA, and only under its host name', async (t) => {
  const folder = await freshFolder(t);
  const [ca, other] = [await createAuthority(folder, 'ca'), await createAuthority(folder, 'other')];
  const port = await serve(t, files(await ca.issue('inventory', 'localhost')));
  const own = await other.issue('order', 'order');
  const code = (tls: TlsFiles, host?: string) => codeOf(t, port, clientCredentials(tls), host);
  t.is(await code(files(own, { ca: ca.certPath }), 'localhost'), status.OK);
  t.is(await code(files(own, { clientCa: ca.certPath }), 'localhost'), status.OK);
  t.is(await code(files(own, { ca: ca.certPath, clientCa: other.certPath }), 'localhost'), status.OK);
  t.is(await code(files(own, { ca: other.certPath }), 'localhost'), status.UNAVAILABLE);
  t.is(await code(files(own), 'localhost'), status.UNAVAILABLE);
  t.is(await code(files(own, { ca: ca.certPath }), '127.0.0.1'), status.UNAVAILABLE);
});

test('internal calls accept the own certificate for any host name and from any authority', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const issued = files(await ca.issue('issued', 'shop.example'));
  const mutual = files(await ca.issue('mutual', 'shop.example'), { clientCa: ca.certPath });
  const selfIssued = files(await selfSigned(folder, 'self-issued', 'shop.example'));
  for (const tls of [issued, mutual, selfIssued]) {
    t.is(await codeOf(t, await serve(t, tls), internalCredentials(tls)), status.OK);
  }
});

test('internal calls refuse another certificate at the own address', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const ours = files(await ca.issue('ours', 'localhost'));
  const theirs = files(await ca.issue('theirs', 'localhost'));
  const port = await serve(t, theirs);
  t.is(await codeOf(t, port, internalCredentials(ours), 'localhost'), status.UNAVAILABLE);
});

test('an unusable TLS file stops the start with the setting and the path', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const [a, b] = [await ca.issue('a', 'a'), await ca.issue('b', 'b')];
  const reason = (tls: Record<string, string>) => {
    const all = { cert: a.certPath, key: a.keyPath, clientCa: undefined, ca: undefined, ...tls };
    const { message } = t.throws(() => readTlsFiles(all), { instanceOf: ConfigError });
    t.false(message.includes('\n'));
    return message;
  };
  t.regex(reason({ cert: `${folder}/none.pem` }), /^TLS_CERT: .*none\.pem cannot be used: ENOENT/);
  t.regex(reason({ cert: a.keyPath }), /^TLS_CERT: /);
  t.regex(reason({ key: a.certPath }), /^TLS_KEY: /);
  t.regex(reason({ key: b.keyPath }), /^TLS_KEY: .*the key does not belong to TLS_CERT/);
  t.regex(reason({ clientCa: folder }), /^TLS_CLIENT_CA: /);
  t.regex(reason({ ca: a.keyPath }), /^TLS_CA: /);
});
