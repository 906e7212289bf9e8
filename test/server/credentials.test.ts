import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { rename, unlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { connect, createServer as createTlsServer } from 'node:tls';
import { type ChannelCredentials, credentials, Server, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { service } from 'grpc-health-check';
import { pino } from 'pino';
import { ConfigError } from '#src/config/config.js';
import { FollowedFiles } from '#src/platform/followed-files.js';
import {
  clientCredentials,
  internalCredentials,
  internalServerCredentials,
  serverCredentials,
} from '#src/server/credentials.js';
import { addHealth } from '#src/server/health.js';
import { listen } from '#src/server/server.js';
import { readTlsFiles, type TlsFiles } from '#src/server/tls-files.js';
import { Connection } from '../helpers/calls/call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import {
  type Authority,
  createAuthority,
  type Pair,
  selfSigned,
} from '../helpers/identities/certificates.js';
import { silent } from '../helpers/servers/shop.js';

type Test = ExecutionContext;

/** Serves the health service. @param make makes the credentials from the files */
async function serve(t: Test, tls: TlsFiles | undefined, make = serverCredentials): Promise<number> {
  const server = new Server();
  addHealth(server, []);
  t.teardown(() => server.forceShutdown());
  return listen(server, { host: '127.0.0.1', port: 0 }, make(tls));
}

async function codeOf(t: Test, port: number, creds: ChannelCredentials, host = '127.0.0.1') {
  // Connections of the process would be shared otherwise, with their certificates.
  const ownConnection = { 'grpc.use_local_subchannel_pool': 1 };
  const connection = new Connection(`${host}:${port}`, creds, ownConnection);
  t.teardown(() => connection.close());
  const check = service.Check as NonNullable<(typeof service)['Check']>;
  return (await connection.call(check, { service: '' }, { deadlineMs: 10_000 })).code;
}

type Paths = Partial<Record<'clientCa' | 'ca', string>>;

const pathsOf = (pair: Pair, more: Paths = {}) => ({
  ...{ cert: pair.certPath, key: pair.keyPath, clientCa: undefined, ca: undefined },
  ...more,
});

const files = (pair: Pair, more?: Paths) => readTlsFiles(pathsOf(pair, more), unchecked) as TlsFiles;

/** Files that are read once. */
const unchecked = new FollowedFiles(silent, 1_000_000);

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
  const other = await createAuthority(folder, 'authority of clients');
  const issued = files(await ca.issue('issued', 'shop.example'));
  const mutual = files(await ca.issue('mutual', 'shop.example'), { clientCa: other.certPath });
  const selfIssued = files(await selfSigned(folder, 'self-issued', 'shop.example'));
  for (const tls of [issued, mutual, selfIssued]) {
    const port = await serve(t, tls, internalServerCredentials);
    t.is(await codeOf(t, port, internalCredentials(tls)), status.OK);
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

test('a remote inventory at an IP address is trusted under this address only', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const creds = clientCredentials(files(await ca.issue('order', 'order'), { ca: ca.certPath }));
  for (const [address, expected] of [
    ['127.0.0.1', status.OK],
    ['127.0.0.2', status.UNAVAILABLE],
  ] as const) {
    const port = await serve(t, files(await ca.issue(address, { type: 'ip', value: address })));
    t.is(await codeOf(t, port, creds), expected, address);
  }
});

test('a connection to a host name sends the name, and a connection to an IP address sends none', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const tls = files(await ca.issue('shop', 'localhost', { type: 'ip', value: '127.0.0.1' }), {
    ca: ca.certPath,
  });
  for (const creds of [clientCredentials(tls), internalCredentials(tls)]) {
    for (const [host, expected] of [
      ['localhost', 'localhost'],
      ['127.0.0.1', false],
    ] as const) {
      // A client connects again and again, so each has a server of its own.
      const { port, sent } = await recordServerNames(t, tls);
      t.is(await codeOf(t, port, creds, host), status.UNAVAILABLE);
      t.deepEqual([...new Set(sent)], [expected]);
    }
  }
});

/** A server that records the name that each connection sends, then disconnects. */
async function recordServerNames(t: Test, { contents: { cert, key } }: TlsFiles) {
  const sent: unknown[] = [];
  const server = createTlsServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => {
    sent.push(socket.servername);
    socket.destroy();
  });
  t.teardown(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as AddressInfo).port, sent };
}

/** A server whose files are checked at request, and the certificates that its clients see. */
async function renewable(t: Test, issue: (folder: string) => Promise<{ pair: Pair; more?: Paths }>) {
  const folder = await freshFolder(t);
  const { pair, more = {} } = await issue(folder);
  const lines: string[] = [];
  const followed = new FollowedFiles(pino({}, { write: (line: string) => lines.push(line) }), 1_000_000);
  t.teardown(() => followed.stop());
  const tls = readTlsFiles(pathsOf(pair, more), followed) as TlsFiles;
  const port = await serve(t, tls);
  /** Looks for changes, and resolves to the log line of this check. */
  const check = async (expected: RegExp) => {
    lines.length = 0;
    await followed.check();
    t.is(lines.length, 1);
    t.regex(lines[0] as string, expected);
    t.notRegex(lines.join(), /BEGIN|PRIVATE/);
  };
  const replace = async (path: string, content: Buffer) => {
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
  };
  return { folder, pair, tls, port, followed, lines, check, replace };
}

/** Resolves to the fingerprint of the certificate that a new connection sees. */
async function shownAt(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

const fingerprint = ({ cert }: Pair) => new X509Certificate(cert).fingerprint256;

test('a renewed certificate is shown to new connections, and established connections continue', async (t) => {
  const { folder, pair, port, check, replace } = await renewable(t, async (folder) => ({
    pair: await selfSigned(folder, 'server', 'localhost'),
  }));
  const established = new Connection(`localhost:${port}`, credentials.createSsl(pair.cert));
  t.teardown(() => established.close());
  const ask = () => established.call(service.Check as never, { service: '' } as never);
  t.is((await ask()).code, status.OK);
  t.is(await shownAt(port), fingerprint(pair));
  const renewed = await selfSigned(folder, 'renewed', 'localhost');
  await replace(pair.keyPath, renewed.key);
  await replace(pair.certPath, renewed.cert);
  await check(/"settings":\["TLS_CERT","TLS_KEY"\]/);
  t.is(await shownAt(port), fingerprint(renewed));
  t.is(await codeOf(t, port, credentials.createSsl(renewed.cert), 'localhost'), status.OK);
  t.is(await codeOf(t, port, credentials.createSsl(pair.cert), 'localhost'), status.UNAVAILABLE);
  t.is((await ask()).code, status.OK, 'the established connection has the old certificate');
});

test('broken files keep the old pair, each reason is logged once, and repaired files are used', async (t) => {
  const { folder, pair, port, followed, lines, check, replace } = await renewable(t, async (folder) => ({
    pair: await selfSigned(folder, 'server', 'localhost'),
  }));
  const renewed = await selfSigned(folder, 'renewed', 'localhost');
  const now = Date.now();
  const expired = await selfSigned(folder, 'expired', { validFrom: now - 9e8, validTo: now - 1e6 });
  const early = await selfSigned(folder, 'early', { validFrom: now + 1e8, validTo: now + 9e8 });
  const broken: [Buffer, Buffer, RegExp][] = [
    [renewed.cert, pair.key, /TLS_KEY: .*the key does not belong to TLS_CERT/],
    [renewed.cert.subarray(0, 200), renewed.key, /TLS_CERT: .*the file is not complete/],
    [renewed.cert, renewed.key.subarray(0, 100), /TLS_KEY: /],
    [Buffer.alloc(0), renewed.key, /TLS_CERT: .*no certificate/],
    [renewed.cert, Buffer.alloc(0), /TLS_KEY: /],
    [expired.cert, expired.key, /TLS_CERT: .*the certificate expired at /],
    [early.cert, early.key, /TLS_CERT: .*the certificate is not valid before /],
  ];
  for (const [cert, key, reason] of broken) {
    await replace(pair.certPath, cert);
    await replace(pair.keyPath, key);
    await check(reason);
    t.is(await shownAt(port), fingerprint(pair));
  }
  await unlink(pair.certPath);
  await check(/TLS_CERT: .*ENOENT/);
  await followed.check();
  t.is(lines.length, 1, 'the reason is logged once');
  t.is(await shownAt(port), fingerprint(pair));
  await replace(pair.certPath, renewed.cert);
  await replace(pair.keyPath, renewed.key);
  await check(/a changed file is in use/);
  t.is(await shownAt(port), fingerprint(renewed));
});

test('a renewed authority of clients accepts its certificates and refuses those of the previous authority', async (t) => {
  const authorities: Authority[] = [];
  const { tls, port, check, replace } = await renewable(t, async (folder) => {
    for (const name of ['former', 'next']) authorities.push(await createAuthority(folder, name));
    const [former] = authorities as [Authority];
    return { pair: await former.issue('server', 'localhost'), more: { clientCa: former.certPath } };
  });
  const [former, next] = authorities as [Authority, Authority];
  const as = async (authority: Authority, name: string) => {
    const { key, cert } = await authority.issue(name, name);
    return codeOf(t, port, credentials.createSsl(former.cert, key, cert), 'localhost');
  };
  const anonymous = () => codeOf(t, port, credentials.createSsl(former.cert), 'localhost');
  t.is(await as(former, 'ada'), status.OK);
  t.is(await as(next, 'bob'), status.UNAVAILABLE);
  const serversOwn = tls.contents.cert;
  await replace(former.certPath, next.cert);
  await check(/"settings":\["TLS_CLIENT_CA"\]/);
  t.is(await as(next, 'eve'), status.OK);
  t.is(await as(former, 'ann'), status.UNAVAILABLE);
  t.is(await anonymous(), status.UNAVAILABLE, 'a certificate is still required');
  t.is(tls.contents.cert, serversOwn);
});

test('calls to a remote inventory trust a renewed authority and show the renewed certificate', async (t) => {
  const folder = await freshFolder(t);
  const [former, next] = [await createAuthority(folder, 'former'), await createAuthority(folder, 'next')];
  const inventory = async (authority: Authority, name: string) =>
    serve(t, files(await authority.issue(name, 'localhost'), { clientCa: authority.certPath }));
  const [first, second] = [await inventory(former, 'first'), await inventory(next, 'second')];
  const trusted = `${folder}/trusted.pem`;
  await writeFile(trusted, former.cert);
  const own = await former.issue('order', 'order');
  const followed = new FollowedFiles(silent, 1_000_000);
  t.teardown(() => followed.stop());
  const creds = clientCredentials(readTlsFiles(pathsOf(own, { ca: trusted }), followed));
  t.is(await codeOf(t, first, creds, 'localhost'), status.OK);
  t.is(await codeOf(t, second, creds, 'localhost'), status.UNAVAILABLE);
  const renewed = await next.issue('order renewed', 'order');
  await writeFile(trusted, `${former.cert}\n${next.cert}`);
  await writeFile(own.certPath, renewed.cert);
  await writeFile(own.keyPath, renewed.key);
  await followed.check();
  t.is(await codeOf(t, second, creds, 'localhost'), status.OK);
  t.is(await codeOf(t, first, creds, 'localhost'), status.UNAVAILABLE, 'the renewed certificate is shown');
});

test('internal calls continue after a renewal, over new connections too', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const pair = await ca.issue('server', 'shop.example');
  const followed = new FollowedFiles(silent, 1_000_000);
  t.teardown(() => followed.stop());
  const tls = readTlsFiles(pathsOf(pair, { clientCa: ca.certPath }), followed);
  const creds = internalCredentials(tls);
  const port = await serve(t, tls, internalServerCredentials);
  t.is(await codeOf(t, port, creds), status.OK);
  const renewed = await selfSigned(folder, 'renewed', 'shop.example');
  await writeFile(pair.certPath, renewed.cert);
  await writeFile(pair.keyPath, renewed.key);
  await followed.check();
  t.is(await shownAt(port), fingerprint(renewed));
  t.is(await codeOf(t, port, creds), status.OK);
});

test('a client that does not finish its TLS handshake is disconnected', async (t) => {
  const folder = await freshFolder(t);
  const tls = files(await selfSigned(folder, 'server', 'localhost'));
  const port = await serve(t, tls, (contents) => serverCredentials(contents, 100));
  for (const bytes of [Buffer.alloc(0), Buffer.from('1603010200010001fc0303', 'hex')]) {
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => {}).write(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  t.pass();
});

test('an unusable TLS file stops the start with the setting and the path', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const [a, b] = [await ca.issue('a', 'a'), await ca.issue('b', 'b')];
  const reason = (tls: Record<string, string>) => {
    const all = { cert: a.certPath, key: a.keyPath, clientCa: undefined, ca: undefined, ...tls };
    const { message } = t.throws(() => readTlsFiles(all, unchecked), { instanceOf: ConfigError });
    t.false(message.includes('\n'));
    return message;
  };
  t.regex(reason({ cert: `${folder}/none.pem` }), /^TLS_CERT: .*none\.pem cannot be used: ENOENT/);
  t.regex(reason({ cert: a.keyPath }), /^TLS_CERT: /);
  t.regex(reason({ key: a.certPath }), /^TLS_KEY: /);
  t.regex(reason({ key: b.keyPath }), /^TLS_KEY: .*the key does not belong to TLS_CERT/);
  t.regex(reason({ clientCa: folder }), /^TLS_CLIENT_CA: /);
  t.regex(reason({ ca: a.keyPath }), /^TLS_CA: .*no certificate/);
  const cut = `${folder}/cut.pem`;
  await writeFile(cut, `${ca.cert}\n${b.cert.subarray(0, -30)}`);
  t.regex(reason({ ca: cut }), /^TLS_CA: .*the file is not complete/);
  const joined = `${folder}/joined.pem`;
  await writeFile(joined, `${ca.cert}${b.cert}`);
  t.regex(reason({ ca: joined }), /^TLS_CA: .*the file is not complete/);
  t.regex(reason({ cert: cut }), /^TLS_CERT: .*the file is not complete/);
});
