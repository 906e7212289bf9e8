import test from 'ava';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { bool, bytes, int32, int64, message, optional, repeated, string } from '#library/wire/fields.js';
import { MessageFormat } from '#library/wire/message-format.js';
import { WireWriter } from '#library/wire/wire-writer.js';
import { assertProperty } from '../helpers/messages/assert-property.js';
import { malformedWire, unknownFields } from '../helpers/messages/malformed-wire.js';

interface Node {
  readonly text: string;
  readonly data: Buffer;
  readonly small: number;
  readonly large: number;
  readonly flag: boolean;
  readonly numbers: readonly number[];
  readonly names: readonly string[];
  readonly child?: Node;
  readonly children: readonly Node[];
  readonly level?: number;
}

const node: MessageFormat<Node> = new MessageFormat<Node>({
  ...{ text: string(1), data: bytes(2), small: int32(3), large: int64(4), flag: bool(5) },
  ...{ numbers: repeated(int32(6)), names: repeated(string(7)), level: optional(int32(10)) },
  ...{ child: message(8, () => node), children: repeated(message(9, () => node)) },
});
const absent: Node = {
  ...{
    text: '',
    data: Buffer.alloc(0),
    small: 0,
    large: 0,
    flag: false,
    numbers: [],
    names: [],
    children: [],
  },
};

// protobufjs is an independent encoder.
const { root } = protobuf.parse(`syntax = "proto3"; message Node {
  string text = 1; bytes data = 2; int32 small = 3; int64 large = 4; bool flag = 5;
  repeated int32 numbers = 6; repeated string names = 7; Node child = 8; repeated Node children = 9;
  optional int32 level = 10;
}`);
const encoded = (from: Partial<Node>) => root.lookupType('Node').encode(from).finish();

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

const text = fc.string({ unit: 'grapheme' });
const required = {
  ...{ text, data: fc.uint8Array().map((data) => Buffer.from(data)), small: fc.integer() },
  ...{
    large: fc.maxSafeInteger(),
    flag: fc.boolean(),
    numbers: fc.array(fc.integer()),
    names: fc.array(text),
  },
};
const requiredKeys = [...(Object.keys(required) as (keyof typeof required)[]), 'children'] as const;
const leaf = fc.record(
  { ...required, children: fc.constant([]), level: fc.integer() },
  { requiredKeys: [...requiredKeys], noNullPrototype: true },
);
const tree: fc.Arbitrary<Node> = fc.record(
  { ...required, children: fc.array(leaf, { maxLength: 3 }), child: leaf, level: fc.integer() },
  { requiredKeys: [...requiredKeys], noNullPrototype: true },
);

test('messages of another encoder are decoded', async (t) => {
  const property = fc.property(tree, (from) => {
    t.deepEqual(node.decode(encoded(from)), from);
  });
  await assertProperty(t, property, 200);
});

test('absent fields have their defaults, and an absent optional field or message has no key', (t) => {
  t.deepEqual(node.decode(new Uint8Array()), absent);
});

test('a repeated scalar is replaced, a repeated message is merged, and a list is appended to', (t) => {
  const [one, other] = [
    encoded({ text: 'a', numbers: [1], child: { small: 1, names: ['x'] } as never }),
    encoded({ text: 'b', numbers: [2, 3], child: { large: 2, names: ['y'] } as never }),
  ];
  t.deepEqual(node.decode(Buffer.concat([one, other])), {
    ...{ ...absent, text: 'b', numbers: [1, 2, 3] },
    child: { ...absent, small: 1, large: 2, names: ['x', 'y'] },
  });
});

test('numbers are read packed and one by one, with up to 10 bytes', (t) => {
  const negative = 'ff ff ff ff ff ff ff ff ff 01';
  const read = node.decode(hex(`30 05 32 0c 06 ${negative} 07 18 ${negative} 20 ${negative}`));
  t.like(read, { numbers: [5, 6, -1, 7], small: -1, large: -1 });
});

test('unknown fields and fields with a wrong wire type are skipped, and unknown numbers are reported', (t) => {
  const wrongTypes = hex('08 01 12 00 1a 01 61 42 00');
  const unknown: number[] = [];
  const wire = Buffer.concat([unknownFields, encoded({ text: 'a' }), hex('1d 01 02 03 04'), unknownFields]);
  t.deepEqual(
    node.decode(wire, (number) => unknown.push(number)),
    { ...absent, text: 'a' },
  );
  t.deepEqual(unknown, [15, 15, 15, 15, 15, 3, 15, 15, 15, 15, 15]);
  t.deepEqual(node.decode(wrongTypes), { ...absent, child: absent });
});

for (const [title, wire] of Object.entries(malformedWire)) {
  test(`decoding throws an Error: ${title}, also inside a message`, (t) => {
    t.throws(() => node.decode(wire), { name: 'Error' });
    const out = new WireWriter();
    out.bytes(8, wire);
    t.throws(() => node.decode(out.finish()), { name: 'Error' });
  });
}

test('decoding throws an Error when a packed list ends inside a number', (t) => {
  t.throws(() => node.decode(hex('32 01 ff 01')), { name: 'Error' });
});

test('decoding throws an Error when messages are nested in more than 100 messages', (t) => {
  const nested = (depth: number): Buffer => {
    let wire = Buffer.alloc(0);
    for (let level = 0; level < depth; level++) {
      const out = new WireWriter();
      out.bytes(8, wire);
      wire = Buffer.from(out.finish());
    }
    return wire;
  };
  t.notThrows(() => node.decode(nested(100)));
  t.throws(() => node.decode(nested(101)), { name: 'Error' });
});

test('random bytes are decoded or refused with an Error', async (t) => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (wire) => {
    try {
      node.decode(wire);
    } catch (error) {
      t.is((error as Error).name, 'Error');
    }
  });
  await assertProperty(t, property, 2_000);
});
