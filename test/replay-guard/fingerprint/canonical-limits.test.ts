import test from 'ava';
import { canonicalForm } from '#library/replay-guard/fingerprint/canonical-form.js';
import { nested } from '../../helpers/messages/append-wire.js';
import { bytes, everything, legacy, modern, NESTED, tag } from './shapes.js';

test('a group is read as a message between two tags', (t) => {
  const group = bytes(tag(8, 3), [8, 1], tag(8, 3), tag(8, 4), tag(8, 4));
  t.is(
    canonicalForm(legacy, group).bytes.toString('hex'),
    bytes(tag(8, 3), [8, 1], tag(8, 4)).toString('hex'),
  );
  t.throws(() => canonicalForm(legacy, bytes(tag(8, 3), [8, 1])), { message: /truncated/ });
  t.throws(() => canonicalForm(legacy, bytes(tag(8, 3), [8, 1], tag(9, 4))), { message: /group/ });
});

const malformed: Record<string, Uint8Array> = {
  'a tag alone': Buffer.from([8]),
  'a length beyond the end': bytes(tag(14, 2), [5, 1]),
  'a length of 2 GiB': bytes(tag(14, 2), [0xff, 0xff, 0xff, 0xff, 0x7f]),
  'a length in six bytes': bytes(tag(14, 2), [0x81, 0x80, 0x80, 0x80, 0x80, 0, 1]),
  'a number in eleven bytes': bytes(tag(4, 0), Buffer.alloc(10, 0x80), [0]),
  'a truncated number': bytes(tag(4, 0), [0x80]),
  'a truncated double': bytes(tag(1, 1), [1, 2, 3]),
  'field number 0': Buffer.from([0, 1]),
  'wire type 6': Buffer.from([14, 1]),
  'wire type 7 in an unknown field': bytes([0xc7, 6, 1]),
  'an end tag without a group': Buffer.from([12]),
  'a packed list that ends inside a number': bytes(tag(24, 2), [1, 0x80]),
};

for (const [title, wire] of Object.entries(malformed))
  test(`malformed bytes are refused: ${title}`, (t) => {
    t.throws(() => canonicalForm(everything, wire), { instanceOf: Error });
  });

/** Encodes a message in a message, `depth` times, without recursion. */
function deep(number: number, depth: number, inside = (wire: Uint8Array) => wire): Buffer {
  let wire = Buffer.alloc(0);
  for (let count = 0; count < depth; count++) wire = Buffer.from(nested(number, inside(wire)));
  return wire;
}

test('messages, known groups and unknown groups are refused beyond the maximum nesting depth', (t) => {
  t.notThrows(() => canonicalForm(everything, deep(NESTED, 100)));
  for (const depth of [101, 10_000])
    t.throws(() => canonicalForm(everything, deep(NESTED, depth)), { message: /too deep/ });
  const inMaps = (depth: number) => deep(32, depth, (wire) => nested(2, wire));
  t.notThrows(() => canonicalForm(everything, inMaps(100)));
  t.throws(() => canonicalForm(everything, inMaps(10_000)), { message: /too deep/ });
  const group = (number: number, depth: number) =>
    Buffer.concat([...Array(depth).fill(bytes(tag(number, 3))), ...Array(depth).fill(bytes(tag(number, 4)))]);
  for (const [schema, number] of [
    [legacy, 8],
    [legacy, 90],
    [modern, 4],
  ] as const) {
    t.notThrows(() => canonicalForm(schema, group(number, 90)));
    t.throws(() => canonicalForm(schema, group(number, 10_000)), { message: /too deep/ });
  }
});
