import { X509Certificate } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { scopeOfCertificate } from 'grpc-replay-guard';
import { freshFolder } from '../../helpers/databases/engines.js';
import { createAuthority, type Name } from '../../helpers/identities/certificates.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';

const FINGERPRINT = 'AB:CD';
const scopeOf = (subjectaltname: string) =>
  scopeOfCertificate({ subjectaltname, fingerprint256: FINGERPRINT });

/** Lists of names as Node prints them. The first has the normal form, and the others are other spellings of it. */
const spellings: Record<string, [string, ...string[]]> = {
  'one DNS name': [
    'DNS:orders',
    'DNS:Orders',
    'DNS:ORDERS.',
    'DNS:orders, DNS:orders',
    'DNS:orders, DNS:oRders',
  ],
  'names in another order': ['DNS:a, DNS:b, URI:spiffe://x/a', 'URI:spiffe://x/a, DNS:b, DNS:a'],
  'the scheme and the host of a URI': ['URI:spiffe://shop/Orders', 'URI:SPIFFE://Shop/Orders'],
  'a percent-encoding of a URI': ['URI:x://h/~a%2Fb', 'URI:x://h/%7ea%2fb', 'URI:x://h/%7E%61%2Fb'],
  'the host of a URI with user and port': [
    'URI:x://User@h:80/A',
    'URI:X://User@H:80/A',
    'URI:x://User@%48:80/A',
  ],
  'the domain of an e-mail address': [
    'email:Ada@shop.example',
    'email:Ada@Shop.Example',
    'email:Ada@shop.example.',
  ],
  'a name with special characters': [
    'DNS:"ada\\u002c dns:bob\\"\\\\", DNS:b',
    'DNS:b, DNS:"ADA\\u002c DNS:bob\\"\\\\"',
    'DNS:b, DNS:"ADA\\u002C DNS:bob\\"\\\\"',
  ],
  'addresses and identifiers': [
    'DirName:CN=ada, IP Address:10.0.0.1, IP Address:FE80:0:0:0:0:0:0:ABCD, Registered ID:1.2.3, othername:UPN:ada',
    'othername:UPN:ada, Registered ID:1.2.3, IP Address:FE80:0:0:0:0:0:0:ABCD, IP Address:10.0.0.1, DirName:CN=ada',
  ],
};
for (const [title, [normal, ...others]] of Object.entries(spellings)) {
  test(`certificates that spell ${title} differently have one scope`, (t) => {
    t.is(scopeOf(normal), normal, 'a list in normal form is the scope of earlier versions');
    for (const other of others) t.is(scopeOf(other), normal);
  });
}

const differences: [string, string][] = [
  ['email:ada@x', 'email:Ada@x'],
  ['URI:spiffe://x/a', 'URI:spiffe://x/A'],
  ['URI:x://ada@h/', 'URI:x://Ada@h/'],
  ['URI:urn:a', 'URI:urn:A'],
  ['URI:x://h/a%2Fb', 'URI:x://h/a/b'],
  ['URI:x://h/%2541', 'URI:x://h/%41'],
  ['URI:x://h/?A', 'URI:x://h/?a'],
  ['URI:x://a%%32eb/', 'URI:x://a.b/'],
  ['URI:x://h/%%32e', 'URI:x://h/%2e'],
  ['URI:x://h/%2%65', 'URI:x://h/.'],
  ['DirName:CN=ada', 'DirName:CN=Ada'],
  ['othername:UPN:ada', 'othername:UPN:Ada'],
  ['DNS:a', 'DNS:a, DNS:b'],
  ['DNS:"a\\u002c DNS:b"', 'DNS:a, DNS:b'],
  ['DNS:"\\u00c9"', 'DNS:"\\u00e9"'],
  ['DNS:', 'DNS:.'],
  ['DNS:a', 'DNS:a..'],
  ['DNS:a.', 'DNS:a..'],
];
test('a name with an empty last label is in normal form', (t) => {
  for (const name of ['DNS:a..', 'DNS:..', 'email:ada@a..', 'DNS:.']) t.is(scopeOf(name), name);
});

test('names that differ in more than their spelling have different scopes', (t) => {
  for (const [one, other] of differences) t.not(scopeOf(one), scopeOf(other), `${one} and ${other}`);
});

const incomplete = [
  'IP Address:<invalid length=3>',
  'IP Address:<invalid>',
  'Registered ID:',
  `Registered ID:1${'.23456789'.repeat(28)}.2`,
  'othername:<unsupported>',
  'X400Name:<unsupported>',
  'EdiPartyName:<unsupported>',
  'FutureName:a',
  'DNS:"a',
  'a',
];
test('a certificate with a name that Node does not print in full has its fingerprint as scope', (t) => {
  for (const name of incomplete) {
    for (const names of [name, `DNS:a, ${name}`, `${name}, DNS:a`]) t.is(scopeOf(names), FINGERPRINT, names);
  }
  t.is(scopeOf('DNS:<unsupported>'), 'DNS:<unsupported>');
});

/** A registered identifier of 7 characters for each part, and the last one. */
const longId = (parts: number, last: number): Name => ({
  type: 'id',
  value: `1.2${'.100000'.repeat(parts)}.${last}`,
});
const unprintable: [string, number][] = [
  ['of 285 characters, which Node 20 cuts off', 40],
  ['of 2,105 characters, which no Node prints', 300],
];
for (const [title, parts] of unprintable) {
  test(`two registered identifiers ${title}, are two scopes in every form of the certificates`, async (t) => {
    const ca = await createAuthority(await freshFolder(t), 'ca');
    for (const name of [longId(parts, 1), longId(parts, 2)]) {
      for (const names of [[name], ['a', name]]) {
        const certificate = new X509Certificate((await ca.issue('ada', ...names)).cert);
        t.is(scopeOfCertificate(certificate), certificate.fingerprint256);
        t.is(scopeOfCertificate(certificate.toLegacyObject()), certificate.fingerprint256);
      }
    }
  });
}

test('names that Node 22 and newer print as an empty DNS name have the fingerprint as scope', (t) => {
  t.is(scopeOf('DNS:'), FINGERPRINT);
  t.is(scopeOf('DNS:, DNS:'), FINGERPRINT, 'no name but empty ones');
  const certificate = {
    get subjectAltName(): string {
      throw new Error('Failed to format subject alternative name');
    },
    fingerprint256: FINGERPRINT,
  };
  t.is(scopeOfCertificate(certificate), FINGERPRINT);
});

test('the scope of a certificate is equal for node:crypto and node:tls', async (t) => {
  const ca = await createAuthority(await freshFolder(t), 'ca');
  const names: Name[] = ['B', 'a,"\\', { type: 'url', value: 'X://H/%7e,' }, { type: 'email', value: 'A@B' }];
  const certificate = new X509Certificate((await ca.issue('ada', ...names)).cert);
  const scope = scopeOfCertificate(certificate);
  t.is(scope, 'DNS:"a\\u002c\\"\\\\", DNS:b, URI:"x://h/~\\u002c", email:A@b');
  t.is(scopeOfCertificate(certificate.toLegacyObject()), scope);
});

/** Prints a name as Node does: src/crypto, PrintAltName. */
function printed(type: string, value: string): string {
  if (!/[",'\\]|[^ -~]/.test(value)) return `${type}:${value}`;
  const escaped = [...value].map((character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    if (character !== ',' && /[ -~]/.test(character)) return character;
    return `\\u00${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `${type}:"${escaped.join('')}"`;
}

/** A value with one normal form: lower-case letters, and characters that Node escapes or that separate names. */
const value = fc.string({
  unit: fc.constantFrom(...'abc:, "\'\\\u0000\u00e9=%'),
  minLength: 1,
  maxLength: 8,
});
const name = fc.record({ type: fc.constantFrom('DNS', 'email', 'URI'), value });
const names = fc.uniqueArray(name, {
  minLength: 1,
  maxLength: 5,
  selector: ({ type, value }) => printed(type, value),
});
const setOf = (list: readonly { type: string; value: string }[]) =>
  JSON.stringify(list.map(({ type, value }) => [type, value]).sort());

test('order, duplicates, case and escapes never change the scope, and different sets never share one', async (t) => {
  const property = fc.property(names, names, fc.infiniteStream(fc.nat(1_000)), (list, others, random) => {
    const next = () => Number(random.next().value);
    const respelt = [...list, ...list.slice(0, next() % (list.length + 1))]
      .map((entry) => ({ ...entry, order: next() }))
      .sort((a, b) => a.order - b.order)
      .map(({ type, value }) =>
        printed(type, type === 'DNS' && next() % 2 ? value.toUpperCase().replaceAll('É', 'é') : value),
      );
    const scope = scopeOf(list.map(({ type, value }) => printed(type, value)).join(', '));
    t.is(scopeOf(respelt.join(', ')), scope);
    t.is(scopeOf(scope), scope, 'the normal form has one normal form');
    const other = scopeOf(others.map(({ type, value }) => printed(type, value)).join(', '));
    if (setOf(others) !== setOf(list)) t.not(other, scope);
    t.pass();
  });
  await assertProperty(t, property, 400);
});
