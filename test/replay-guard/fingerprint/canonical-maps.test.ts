import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { canonicalForm } from '#library/replay-guard/fingerprint/canonical-form.js';
import { field, nested } from '../../helpers/messages/append-wire.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { bytes, everything, tag } from './shapes.js';

// Stored fingerprints depend on the order of map entries in the canonical form, so the order must never change. These
// tests state the order in the simplest form: keys are sorted as texts.

const [TEXTS, NUMBERS, LONGS] = [31, 32, 34];
const byText = ([one]: readonly [string, ...unknown[]], [other]: readonly [string, ...unknown[]]) =>
  one < other ? -1 : 1;
const form = (wire: Uint8Array) => Buffer.from(canonicalForm(everything, wire).bytes);

/** Returns the entries of the last value of each key, sorted by the text of the key. */
const canonical = (entries: readonly (readonly [string, Uint8Array])[]) =>
  bytes(...[...new Map(entries)].sort(byText).map(([, entry]) => entry));

/** Texts that often begin alike, with and without characters beyond ASCII and beyond 16 bits. */
const texts = fc.oneof(
  fc.string({ maxLength: 4, unit: fc.constantFrom('a', 'b', '\0', '\x7f') }),
  fc.string({ maxLength: 20, unit: fc.constantFrom('a', 'b') }),
  fc.string({ maxLength: 3 }).map((text) => `customer-number-${text}`),
);
const wideTexts = fc.oneof(
  texts,
  fc.string({ maxLength: 7, unit: fc.constantFrom('a', 'é', '\uffff', '😀') }),
);
const int32s = fc.oneof(fc.integer(), fc.integer({ min: -20, max: 120 }));
const int64s = fc.oneof(
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
  int32s.map(BigInt),
  int32s.map((high) => BigInt(high) << 32n),
);

const textEntry = (key: string, value: number) =>
  nested(TEXTS, bytes(field(1, 'string', key), field(2, 'string', String(value))));
const int32Entry = (key: number) =>
  nested(NUMBERS, bytes(field(1, 'int32', key), nested(2, Buffer.alloc(0))));
const int64Entry = (key: bigint) =>
  nested(LONGS, bytes(tag(1, 0), varint(key), field(2, 'bytes', Buffer.alloc(0))));
/** The upper and the lower 32 bits of a key. */
const bitsOf = (key: bigint) => `${BigInt.asIntN(32, key >> 32n)} ${BigInt.asIntN(32, key)}`;

for (const [name, keys] of [
  ['ASCII', texts],
  ['all characters', wideTexts],
] as const) {
  test(`entries with text keys are sorted by UTF-16 code units: ${name}`, async (t) => {
    const property = fc.property(fc.array(keys, { maxLength: 150 }), (all) => {
      const entries = all.map((key, at) => [key, textEntry(key, at)] as const);
      assert.deepEqual(form(bytes(...entries.map(([, entry]) => entry))), canonical(entries));
    });
    await assertProperty(t, property, 300);
  });
}

test('entries with number keys are sorted by the decimal texts of their bits', async (t) => {
  const property = fc.property(
    fc.array(int32s, { maxLength: 150 }),
    fc.array(int64s, { maxLength: 150 }),
    (numbers, longs) => {
      const all = numbers.map((key) => [bitsOf(BigInt(key)), int32Entry(key)] as const);
      const more = longs.map((key) => [bitsOf(key), int64Entry(key)] as const);
      const wire = bytes(...[...all, ...more].map(([, entry]) => entry));
      assert.deepEqual(form(wire), bytes(canonical(all), canonical(more)));
    },
  );
  await assertProperty(t, property, 300);
});

test('text keys that decode to one text are one key in a large map, too', (t) => {
  const entry = (key: number[], value: string) =>
    nested(TEXTS, bytes(tag(1, 2), [key.length], key, field(2, 'string', value)));
  const others = Array.from({ length: 100 }, (_, at) => textEntry(`k${at}`, at));
  const [one, other] = [entry([0xff], 'one'), entry([0xfe], 'other')];
  t.deepEqual(form(bytes(one, ...others, other)), form(bytes(...others, other)));
  t.notDeepEqual(form(bytes(other, ...others, one)), form(bytes(...others, other)));
  t.false(canonicalForm(everything, bytes(one, ...others, other)).isUnambiguous);
});

function varint(value: bigint): number[] {
  const all: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) all.push(Number(rest & 127n) | 128);
  return [...all, Number(rest)];
}
