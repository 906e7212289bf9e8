import fc from 'fast-check';
import { scopeOfCertificate } from 'grpc-replay-guard';
import { type Mutation, mutateText, mutations } from '../inputs/mutations.js';
import { must, type Target } from '../target.js';

/** The names of a certificate. */
interface Name {
  readonly type: 'DNS' | 'email' | 'URI' | 'DirName';
  readonly value: string;
}

/** Two certificates, and a text that Node could have printed for a third one. */
interface IdentityInput {
  readonly one: readonly Name[];
  readonly other: readonly Name[];
  /** Changes of the printed names of `one`. */
  readonly changes: readonly Mutation[];
}

const part = fc.oneof(
  fc.constantFrom(
    'a',
    'A',
    'b',
    'shop.example',
    'Shop.Example',
    'a.',
    '.',
    '',
    'a, DNS:b',
    '"',
    '\\',
    'é',
    '\0',
    '%41',
  ),
  fc.string({ maxLength: 6, unit: 'binary' }).map((text) => text.replace(/[^\0-\xff]/gu, 'x')),
);
const uri = fc
  .tuple(
    fc.constantFrom('spiffe', 'SPIFFE', 'x'),
    fc.constantFrom('shop', 'Shop', 'user@shop', 'User@Shop:1', '%53hop', ''),
    fc.constantFrom('', '/', '/a', '/A', '/%41', '/%2f', '/%2F', '/?q#F'),
  )
  .map(([scheme, host, path]) => `${scheme}://${host}${path}`);
const name: fc.Arbitrary<Name> = fc.oneof(
  fc.record({ type: fc.constantFrom('DNS', 'DirName'), value: part }),
  fc.record({ type: fc.constant('email'), value: fc.tuple(part, part).map((parts) => parts.join('@')) }),
  fc.record({ type: fc.constant('URI'), value: uri }),
);
const names = fc.array(name, { minLength: 1, maxLength: 4 });

/** The names in certificates, as a proxy or TLS states them. */
export const identitiesTarget: Target<IdentityInput> = {
  title: 'names in certificates',
  inputs: names.chain((one) =>
    fc.record({
      one: fc.constant(one),
      other: fc.oneof(names, fc.shuffledSubarray([...one, ...one], { minLength: 1 })),
      changes: mutations,
    }),
  ),
  quickRuns: 1_000,
  requires: ['equal identities', 'different identities', 'names that are not printed in full'],
  planted: 'all names are compared without letter case',
  open(_t, { planted, count }) {
    const scopeOf = (printed: string) =>
      planted
        ? printed.toLowerCase()
        : scopeOfCertificate({ subjectaltname: printed, fingerprint256: FINGERPRINT });
    return {
      check({ one, other, changes }) {
        const [first, second] = [one, other].map((list) => scopeOf(list.map(printed).join(', ')));
        const areEqual = reference(one) === reference(other);
        must(
          (first === second) === areEqual,
          `${first} and ${second} are ${areEqual ? '' : 'not '}one identity`,
        );
        count(areEqual ? 'equal identities' : 'different identities');
        const text = mutateText(one.map(printed).join(', '), changes);
        const scope = scopeOf(text);
        if (scope === FINGERPRINT) return count('names that are not printed in full');
        must(text === '' || scopeOf(scope) === scope, 'the normal form is not its own normal form');
        const reversed = [...text.split(', '), ...text.split(', ')].reverse().join(', ');
        must(scopeOf(reversed) === scope, 'the order or the number of the names decides');
      },
    };
  },
};

const FINGERPRINT = 'AB:CD';

/** Prints a name as Node does: src/crypto, PrintAltName. */
function printed({ type, value }: Name): string {
  if (!/[",'\\]|[^ -~]/.test(value)) return `${type}:${value}`;
  const escaped = [...value].map((character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    if (character !== ',' && /[ -~]/.test(character)) return character;
    return `\\u00${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `${type}:"${escaped.join('')}"`;
}

/** The set of names in the normal form of their standards, made from the values and not from the printed names. */
function reference(list: readonly Name[]): string {
  return JSON.stringify([...new Set(list.map((one) => `${one.type} ${normal(one)}`))].sort());
}

const lower = (text: string) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
const domain = (text: string) => lower(/[^.]\.$/.test(text) ? text.slice(0, -1) : text);

function normal({ type, value }: Name): string {
  if (type === 'DNS') return domain(value);
  if (type === 'DirName') return value;
  if (type === 'email') {
    const at = value.lastIndexOf('@') + 1;
    return value.slice(0, at) + domain(value.slice(at));
  }
  const [, scheme = '', authority = '', rest = ''] = /^(\w+):\/\/([^/]*)(.*)$/.exec(value) ?? [];
  const at = authority.lastIndexOf('@') + 1;
  const host = lower(authority.slice(at).replaceAll('%53', 'S'));
  const path = rest.replaceAll('%41', 'A').replaceAll('%2f', '%2F');
  return `${lower(scheme)}://${authority.slice(0, at)}${host}${path}`;
}
