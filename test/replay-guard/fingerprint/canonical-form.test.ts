import test from 'ava';
import { type CanonicalForm, canonicalForm } from '#library/replay-guard/fingerprint/canonical-form.js';
import { excludedFieldsOf } from '#library/replay-guard/fingerprint/field-path.js';
import { field, nested } from '../../helpers/messages/append-wire.js';
import { bytes, everything, NESTED, tag } from './shapes.js';

const form = (wire: Uint8Array, paths: string[] = []): CanonicalForm =>
  canonicalForm(everything, wire, excludedFieldsOf(everything, paths));
const hex = (wire: Uint8Array, paths?: string[]) => form(wire, paths).bytes.toString('hex');

/** Pairs of encodings of one message, and whether the second is unambiguous. */
const equal: Record<string, readonly [Uint8Array, Uint8Array, isUnambiguous?: boolean]> = {
  'NaN with other bits': [
    bytes(tag(1, 1), [0, 0, 0, 0, 0, 0, 0xf8, 0x7f], tag(2, 5), [0, 0, 0xc0, 0x7f]),
    bytes(tag(1, 1), [1, 0, 0, 0, 0, 0, 0xf0, 0xff], tag(2, 5), [1, 0, 0x80, 0xff]),
    true,
  ],
  'an enum of -1, in five bytes': [
    bytes(tag(16, 0), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    bytes(tag(16, 0), [0xff, 0xff, 0xff, 0xff, 0x0f]),
    true,
  ],
  'a message in two parts': [
    nested(NESTED, bytes(field(4, 'int64', 1), field(14, 'string', 'a'))),
    bytes(nested(NESTED, field(4, 'int64', 1)), nested(NESTED, field(14, 'string', 'a'))),
  ],
  'messages inside a message in two parts': [
    nested(NESTED, nested(NESTED, bytes(field(4, 'int64', 2), field(14, 'string', 'a')))),
    bytes(
      nested(NESTED, nested(NESTED, field(4, 'int64', 1))),
      nested(NESTED, nested(NESTED, bytes(field(14, 'string', 'a'), field(4, 'int64', 2)))),
    ),
  ],
  'lists of a message in two parts, concatenated': [
    nested(NESTED, bytes(field(26, 'string', 'a'), field(26, 'string', 'b'))),
    bytes(nested(NESTED, field(26, 'string', 'a')), nested(NESTED, field(26, 'string', 'b'))),
  ],
  'a message of a oneof in two parts': [
    nested(39, bytes(field(4, 'int64', 1), field(14, 'string', 'a'))),
    bytes(nested(39, field(4, 'int64', 1)), nested(39, field(14, 'string', 'a'))),
  ],
  'a message of a oneof, again after another member': [
    nested(39, field(14, 'string', 'a')),
    bytes(nested(39, field(4, 'int64', 1)), field(37, 'int32', 5), nested(39, field(14, 'string', 'a'))),
  ],
  'a map entry without key and value': [
    nested(32, bytes(field(1, 'int32', 0), nested(2, Buffer.alloc(0)))),
    nested(32, Buffer.alloc(0)),
  ],
  'the value of a map entry in two parts': [
    nested(32, bytes(field(1, 'int32', 1), nested(2, bytes(field(4, 'int64', 1), field(14, 'string', 'a'))))),
    nested(
      32,
      bytes(nested(2, field(4, 'int64', 1)), field(1, 'int32', 1), nested(2, field(14, 'string', 'a'))),
    ),
  ],
  'one key of a map in two encodings': [
    nested(32, bytes(field(1, 'int32', 0), nested(2, field(14, 'string', 'b')))),
    bytes(
      nested(32, nested(2, field(14, 'string', 'a'))),
      nested(32, bytes([8, 0x80, 0], nested(2, field(14, 'string', 'b')))),
    ),
  ],
  'a known field with a wrong wire type': [
    field(14, 'string', 'a'),
    bytes(field(14, 'string', 'a'), tag(14, 0), [5], tag(4, 5), [1, 2, 3, 4], tag(17, 0), [0]),
  ],
  'a number in seven bytes': [
    field(3, 'int32', 5),
    bytes(tag(3, 0), [0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
  ],
  'a bool with high bits only': [
    bytes(tag(13, 0), [1]),
    bytes(tag(13, 0), [0x80, 0x80, 0x80, 0x80, 0x80, 1]),
  ],
};

for (const [title, [one, other, isUnambiguous = false]] of Object.entries(equal)) {
  test(`two encodings have one canonical form: ${title}`, (t) => {
    t.is(hex(one), hex(other));
    t.true(form(one).isUnambiguous);
    t.is(form(other).isUnambiguous, isUnambiguous);
  });
}

const different: Record<string, readonly [Uint8Array, Uint8Array]> = {
  'strings of different invalid UTF-8': [bytes(tag(14, 2), [1, 0xff]), bytes(tag(14, 2), [1, 0xfe])],
  'minus zero': [bytes(tag(1, 1), [0, 0, 0, 0, 0, 0, 0, 0x80]), Buffer.alloc(0)],
  'an optional field that is minus zero': [
    bytes(tag(18, 1), [0, 0, 0, 0, 0, 0, 0, 0x80]),
    bytes(tag(18, 1), [0, 0, 0, 0, 0, 0, 0, 0]),
  ],
  'the largest int64 and the smallest': [
    bytes(tag(4, 0), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    bytes(tag(4, 0), [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
  ],
  'a wrapper with a default value and no wrapper': [nested(44, Buffer.alloc(0)), Buffer.alloc(0)],
  // The value of an Any is bytes. Another order of its fields is another message.
  'fields inside an Any in another order': [
    nested(46, nested(2, bytes(field(1, 'string', 'a'), field(2, 'string', 'b')))),
    nested(46, nested(2, bytes(field(2, 'string', 'b'), field(1, 'string', 'a')))),
  ],
};

for (const [title, [one, other]] of Object.entries(different))
  test(`two messages have different canonical forms: ${title}`, (t) => t.not(hex(one), hex(other)));

test('two map keys that decode to one text are one key, and the last entry counts', (t) => {
  const entry = (key: number, value: string) => nested(31, bytes([10, 1, key], field(2, 'string', value)));
  const one = bytes(entry(0xff, 'a'), entry(0xfe, 'b'));
  const other = bytes(entry(0xfe, 'b'), entry(0xff, 'a'));
  t.not(hex(one), hex(other));
  t.false(form(one).isUnambiguous);
});

test('paths exclude whole fields, and fields inside messages, lists, maps and oneofs', (t) => {
  const inner = (text: string) => bytes(field(4, 'int64', 1), field(14, 'string', text));
  const entry = (text: string) => nested(32, bytes(field(1, 'int32', 1), nested(2, inner(text))));
  const all = (text: string) =>
    bytes(
      field(14, 'string', text),
      nested(NESTED, inner(text)),
      nested(29, inner(text)),
      nested(29, inner(text)),
      entry(text),
      nested(39, inner(text)),
    );
  const paths = [
    'a_string',
    'nested.a_string',
    'children.a_string',
    'byNumber.aString',
    'message_choice.a_string',
  ];
  t.is(hex(all('x'), paths), hex(all('y'), paths));
  t.is(
    hex(all('x'), paths),
    hex(
      bytes(
        nested(NESTED, field(4, 'int64', 1)),
        nested(29, field(4, 'int64', 1)),
        nested(29, field(4, 'int64', 1)),
        nested(32, bytes(field(1, 'int32', 1), nested(2, field(4, 'int64', 1)))),
        nested(39, field(4, 'int64', 1)),
      ),
    ),
  );
  for (const path of paths) {
    const others = paths.filter((other) => other !== path);
    t.not(hex(all('x'), others), hex(all('y'), others), path);
  }
  t.is(
    hex(
      all('x'),
      ['nested', 'nested.a_string', 'children', 'by_number', 'choice', 'a_string'].filter(
        (path) => path !== 'choice',
      ),
    ),
    hex(nested(39, inner('x'))),
  );
  t.is(
    hex(bytes(nested(NESTED, inner('x'))), ['nested.a_string', 'nested']),
    '',
    'a field that is excluded as a whole is omitted, even if one of its parts is excluded too',
  );
});

test('an excluded field is ambiguous if it is encoded twice, and stays in the form without exclusions', (t) => {
  const twice = bytes(field(14, 'string', 'a'), field(14, 'string', 'b'), field(4, 'int64', 1));
  t.is(hex(twice, ['a_string']), hex(field(4, 'int64', 1)));
  t.false(form(twice, ['a_string']).isUnambiguous);
  t.is(hex(twice), hex(bytes(field(4, 'int64', 1), field(14, 'string', 'b'))));
});

test('unknown fields of every wire type are omitted at every depth', (t) => {
  const unknown = bytes(
    tag(100, 0),
    [5],
    tag(101, 1),
    Buffer.alloc(8),
    tag(102, 2),
    [1, 1],
    tag(103, 3),
    tag(4, 0),
    [1],
    tag(103, 4),
    tag(104, 5),
    Buffer.alloc(4),
  );
  const known = field(14, 'string', 'a');
  t.is(
    hex(bytes(unknown, known, unknown, nested(NESTED, bytes(unknown, known)))),
    hex(bytes(known, nested(NESTED, known))),
  );
});
