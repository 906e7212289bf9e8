import { X509Certificate } from 'node:crypto';
import { type ChannelCredentials, credentials, experimental, ServerCredentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { scopeFromPeerCertificate, scopeOfCertificate } from 'grpc-replay-guard';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import type { Connection } from '../../helpers/calls/call.js';
import { freshFolder } from '../../helpers/databases/engines.js';
import {
  type Authority,
  createAuthority,
  type Name,
  type Pair,
  selfSigned,
} from '../../helpers/identities/certificates.js';
import { type Ledger, openLedger } from '../../helpers/servers/guarded-ledger.js';

type Test = ExecutionContext;

interface Setup {
  readonly ledger: Ledger;
  readonly ca: Authority;
  readonly server: Pair;
  /** Opens a connection with a client certificate. */
  connectAs(pair: Pair): Connection;
}

/** Opens a ledger with mutual TLS, or with the credentials that `serve` returns. */
async function open(t: Test, serve?: (ca: Authority, server: Pair) => ServerCredentials): Promise<Setup> {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const server = await ca.issue('server', 'localhost');
  const ledger = await openLedger(t, 'memory', {
    credentials: (serve ?? mutual)(ca, server),
    guard: { scope: scopeFromPeerCertificate() },
  });
  return { ledger, ca, server, connectAs: ({ key, cert }) => ledger.server.connect(showing(ca, key, cert)) };
}

const mutual = (ca: Authority, { cert, key }: Pair) =>
  ServerCredentials.createSsl(ca.cert, [{ cert_chain: cert, private_key: key }], true);

const showing = (ca: Authority, key: Buffer | null = null, cert: Buffer | null = null): ChannelCredentials =>
  credentials.createSsl(ca.cert, key, cert);

const append = (connection: Connection, { definition }: Ledger, key = 'key') =>
  connection.call(definition.Append, {}, { key });

/** Asserts that two certificates are two callers: each executes once, then gets a replay. */
async function assertTwoCallers(t: Test, { ledger, connectAs }: Setup, first: Pair, second: Pair) {
  const callers = [connectAs(first), connectAs(second)] as const;
  for (const replayed of [false, true]) {
    for (const caller of callers) t.like(await append(caller, ledger), { code: status.OK, replayed });
  }
  t.is(ledger.entered, 2);
}

test('a renewed certificate with the same names is the same caller', async (t) => {
  const setup = await open(t);
  const [first, renewed] = [await setup.ca.issue('ada', 'ada'), await setup.ca.issue('ada 2', 'ada')];
  t.like(await append(setup.connectAs(first), setup.ledger), { code: status.OK, replayed: false });
  t.like(await append(setup.connectAs(renewed), setup.ledger), { code: status.OK, replayed: true });
});

const spiffe = (value: string): Name => ({ type: 'url', value });

test('a renewed certificate with the same names in another order and spelling is the same caller', async (t) => {
  const setup = await open(t);
  const first = await setup.ca.issue(
    'first',
    'orders.shop.example',
    'orders',
    spiffe('spiffe://shop/orders'),
  );
  const others = [
    ['orders', 'orders.shop.example', spiffe('spiffe://shop/orders')],
    [spiffe('SPIFFE://Shop/%6Frders'), 'Orders.Shop.Example.', 'ORDERS', 'orders'],
  ];
  t.like(await append(setup.connectAs(first), setup.ledger), { code: status.OK, replayed: false });
  for (const names of others) {
    const renewed = await setup.ca.issue('renewed', ...names);
    t.like(await append(setup.connectAs(renewed), setup.ledger), { code: status.OK, replayed: true });
  }
  t.is(setup.ledger.entered, 1);
});

test('eraseScope with the scope of a certificate erases the replies of its caller', async (t) => {
  const setup = await open(t);
  const ada = await setup.ca.issue('ada', 'b', 'A');
  await append(setup.connectAs(ada), setup.ledger);
  const scope = scopeOfCertificate(new X509Certificate(ada.cert));
  t.is((await setup.ledger.guard.eraseScope(scope)).erased, 1);
  t.is((await append(setup.connectAs(ada), setup.ledger)).code, status.DATA_LOSS);
});

const dn = (value: string): Name => ({ type: 'dn', value });
const upn = (value: string): Name => ({ type: 'upn', value });
/** Different names with similar texts. */
const similar: [string, Name[], Name[]][] = [
  ['two names and one name with a comma', ['ada', 'bob'], ['ada, DNS:bob']],
  ['one name and two names', ['ada'], ['ada', 'bob']],
  ['a name and the same name in quotes', ['ada'], ['"ada"']],
  ['a host and an e-mail address', ['ada@x'], [{ type: 'email', value: 'ada@x' }]],
  ['a host and a URI', ['ada'], [{ type: 'url', value: 'ada' }]],
  [
    'a URI with a comma and a URI with a host',
    [{ type: 'url', value: 'x:a, DNS:b' }],
    [{ type: 'url', value: 'x:a' }, 'b'],
  ],
  ['a user and a user with a host', [upn('ada, DNS:x')], [upn('ada'), 'x']],
  ['a directory name and a directory name with a comma', [dn('CN=ada, O=x')], [dn('O=CN\\=ada\\, O\\=x')]],
  ['a name and a name with a NUL', ['ada'], ['ada\u0000.x']],
  // Node prints both names as `othername:<unsupported>`.
  ['two names that Node cannot print', [guid('1')], [guid('2')]],
  ['two certificates, each with one name that Node cannot print', ['ada', guid('1')], ['ada', guid('2')]],
  // Node 22 and newer print all names of both certificates as `DNS:`.
  ['two names that make all names unprintable', ['ada', longId('1')], ['bob', longId('2')]],
];

function longId(last: string): Name {
  return { type: 'id', value: `1.2${'.100000'.repeat(300)}.${last}` };
}

function guid(digit: string): Name {
  return { type: 'guid', value: '00000000-0000-4000-8000-000000000000'.replaceAll('0', digit) };
}

for (const [title, first, second] of similar) {
  test(`certificates with different names are two callers: ${title}`, async (t) => {
    const setup = await open(t);
    await assertTwoCallers(
      t,
      setup,
      await setup.ca.issue('first', ...first),
      await setup.ca.issue('second', ...second),
    );
  });
}

test('certificates without names are different callers, also with one subject', async (t) => {
  const setup = await open(t);
  await assertTwoCallers(t, setup, await setup.ca.issue('ada'), await setup.ca.issue('ada'));
});

test('a certificate whose name is the fingerprint of another certificate is another caller', async (t) => {
  const setup = await open(t);
  const ada = await setup.ca.issue('ada');
  const { fingerprint256 } = new X509Certificate(ada.cert);
  await assertTwoCallers(t, setup, ada, await setup.ca.issue('mallory', fingerprint256));
});

test('the server rejects a connection with a certificate of an untrusted authority', async (t) => {
  const { ledger, ca, connectAs } = await open(t);
  const folder = await freshFolder(t);
  const stranger = await createAuthority(folder, 'ca');
  await append(connectAs(await ca.issue('ada', 'ada')), ledger);
  for (const pair of [await stranger.issue('ada', 'ada'), await selfSigned(folder, 'ada', 'ada')]) {
    t.is((await append(connectAs(pair), ledger)).code, status.UNAVAILABLE);
  }
  t.is(ledger.entered, 1);
});

/** Server credentials that request no client certificate. */
const plain = (_: Authority, { cert, key }: Pair) =>
  ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);

test('a call is refused if the server requests no client certificate', async (t) => {
  const { ledger, ca, connectAs } = await open(t, plain);
  for (const connection of [connectAs(await ca.issue('ada', 'ada')), ledger.server.connect(showing(ca))]) {
    const reply = await append(connection, ledger);
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
});

/** Server credentials that request a client certificate, and accept an invalid or missing certificate. */
function optional(ca: Authority, { cert, key }: Pair): ServerCredentials {
  // Called on the next tick, because grpc-js ignores a listener call during registration.
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: (listener) => process.nextTick(listener, { caCertificate: ca.cert }),
    removeCaCertificateListener: () => {},
    addIdentityCertificateListener: (listener) =>
      process.nextTick(listener, { certificate: cert, privateKey: key }),
    removeIdentityCertificateListener: () => {},
  };
  return experimental.createCertificateProviderServerCredentials(provider, provider, false);
}

test('a call with an unverified client certificate is refused', async (t) => {
  const { ledger, ca, connectAs } = await open(t, optional);
  const forged = await selfSigned(await freshFolder(t), 'forged', 'ada');
  t.like(await append(connectAs(await ca.issue('ada', 'ada')), ledger), { code: status.OK, replayed: false });
  for (const connection of [connectAs(forged), ledger.server.connect(showing(ca))]) {
    const reply = await append(connection, ledger);
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
});

test('a call without TLS is refused, also with forwarded certificate headers', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromPeerCertificate() } });
  const forwarded = { 'x-forwarded-client-cert': 'Hash=00', 'ssl-client-cert': 'ada' };
  const reply = await ledger.append('key', {}, { metadata: forwarded });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
});
