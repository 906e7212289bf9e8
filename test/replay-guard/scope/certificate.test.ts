import { X509Certificate } from 'node:crypto';
import { type ChannelCredentials, credentials, experimental, ServerCredentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { scopeFromPeerCertificate } from 'grpc-replay-guard';
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
  /** A connection that shows a certificate. */
  as(pair: Pair): Connection;
}

/** A ledger whose callers show a certificate that the authority has signed, or as a test wants it. */
async function open(t: Test, serve?: (ca: Authority, server: Pair) => ServerCredentials): Promise<Setup> {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const server = await ca.issue('server', 'localhost');
  const ledger = await openLedger(t, 'memory', {
    credentials: (serve ?? mutual)(ca, server),
    guard: { scope: scopeFromPeerCertificate() },
  });
  return { ledger, ca, server, as: ({ key, cert }) => ledger.server.connect(showing(ca, key, cert)) };
}

const mutual = (ca: Authority, { cert, key }: Pair) =>
  ServerCredentials.createSsl(ca.cert, [{ cert_chain: cert, private_key: key }], true);

const showing = (ca: Authority, key: Buffer | null = null, cert: Buffer | null = null): ChannelCredentials =>
  credentials.createSsl(ca.cert, key, cert);

const append = (connection: Connection, { definition }: Ledger, key = 'key') =>
  connection.call(definition.Append, {}, { key });

/** That the second caller is another one than the first, and each is the same the next time. */
async function assertTwo(t: Test, { ledger, as }: Setup, first: Pair, second: Pair) {
  const callers = [as(first), as(second)] as const;
  for (const replayed of [false, true]) {
    for (const caller of callers) t.like(await append(caller, ledger), { code: status.OK, replayed });
  }
  t.is(ledger.entered, 2);
}

test('a renewed certificate is the same caller, whatever else is in it', async (t) => {
  const setup = await open(t);
  const [first, renewed] = [await setup.ca.issue('ada', 'ada'), await setup.ca.issue('ada 2', 'ada')];
  t.like(await append(setup.as(first), setup.ledger), { code: status.OK, replayed: false });
  t.like(await append(setup.as(renewed), setup.ledger), { code: status.OK, replayed: true });
});

const dn = (value: string): Name => ({ type: 'dn', value });
const upn = (value: string): Name => ({ type: 'upn', value });
/** Names that are not the same, however alike their texts. */
const alike: [string, Name[], Name[]][] = [
  ['two names and one with a comma', ['ada', 'bob'], ['ada, DNS:bob']],
  ['one name and two', ['ada'], ['ada', 'bob']],
  ['a name and the same in quotes', ['ada'], ['"ada"']],
  ['a host and an address of mail', ['ada@x'], [{ type: 'email', value: 'ada@x' }]],
  ['a host and a URI', ['ada'], [{ type: 'url', value: 'ada' }]],
  [
    'a URI with a comma and a URI with a host',
    [{ type: 'url', value: 'x:a, DNS:b' }],
    [{ type: 'url', value: 'x:a' }, 'b'],
  ],
  ['a user and a user with a host', [upn('ada, DNS:x')], [upn('ada'), 'x']],
  ['a directory name and one with a comma', [dn('CN=ada, O=x')], [dn('O=CN\\=ada\\, O\\=x')]],
  ['a name and one that goes on after a NUL', ['ada'], ['ada\u0000.x']],
  // Node shows both as `othername:<unsupported>`.
  ['two names that Node cannot show', [guid('1')], [guid('2')]],
  ['two names, each with one that Node cannot show', ['ada', guid('1')], ['ada', guid('2')]],
];

function guid(digit: string): Name {
  return { type: 'guid', value: '00000000-0000-4000-8000-000000000000'.replaceAll('0', digit) };
}

for (const [title, first, second] of alike) {
  test(`two callers: ${title}`, async (t) => {
    const setup = await open(t);
    await assertTwo(
      t,
      setup,
      await setup.ca.issue('first', ...first),
      await setup.ca.issue('second', ...second),
    );
  });
}

test('without names the certificate itself is the caller, not its subject', async (t) => {
  const setup = await open(t);
  await assertTwo(t, setup, await setup.ca.issue('ada'), await setup.ca.issue('ada'));
});

test("a name that is the text of another's fingerprint is not that other", async (t) => {
  const setup = await open(t);
  const ada = await setup.ca.issue('ada');
  const { fingerprint256 } = new X509Certificate(ada.cert);
  await assertTwo(t, setup, ada, await setup.ca.issue('mallory', fingerprint256));
});

test('a certificate of another authority does not get in, whatever its names', async (t) => {
  const { ledger, ca, as } = await open(t);
  const folder = await freshFolder(t);
  const stranger = await createAuthority(folder, 'ca');
  await append(as(await ca.issue('ada', 'ada')), ledger);
  for (const pair of [await stranger.issue('ada', 'ada'), await selfSigned(folder, 'ada', 'ada')]) {
    t.is((await append(as(pair), ledger)).code, status.UNAVAILABLE);
  }
  t.is(ledger.entered, 1);
});

/** Asks nobody for a certificate. */
const plain = (_: Authority, { cert, key }: Pair) =>
  ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);

test('a certificate that the server did not ask for is no identity', async (t) => {
  const { ledger, ca, as } = await open(t, plain);
  for (const connection of [as(await ca.issue('ada', 'ada')), ledger.server.connect(showing(ca))]) {
    const reply = await append(connection, ledger);
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
});

/** Asks for a certificate, and serves callers with a bad one or none all the same. */
function optional(ca: Authority, { cert, key }: Pair): ServerCredentials {
  // Told later: what is told at once does not reach the listener that is being added.
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: (tell) => process.nextTick(tell, { caCertificate: ca.cert }),
    removeCaCertificateListener: () => {},
    addIdentityCertificateListener: (tell) => process.nextTick(tell, { certificate: cert, privateKey: key }),
    removeIdentityCertificateListener: () => {},
  };
  return experimental.createCertificateProviderServerCredentials(provider, provider, false);
}

test('a certificate that could not be verified is no identity', async (t) => {
  const { ledger, ca, as } = await open(t, optional);
  const forged = await selfSigned(await freshFolder(t), 'forged', 'ada');
  t.like(await append(as(await ca.issue('ada', 'ada')), ledger), { code: status.OK, replayed: false });
  for (const connection of [as(forged), ledger.server.connect(showing(ca))]) {
    const reply = await append(connection, ledger);
    assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
  }
});

test('without TLS nobody has an identity', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { scope: scopeFromPeerCertificate() } });
  const forwarded = { 'x-forwarded-client-cert': 'Hash=00', 'ssl-client-cert': 'ada' };
  const reply = await ledger.append('key', {}, { metadata: forwarded });
  assertRefused(t, reply, status.UNAUTHENTICATED, 'IDEMPOTENCY_SCOPE_MISSING');
});
