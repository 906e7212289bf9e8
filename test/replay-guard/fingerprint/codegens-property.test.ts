import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { decodeFileSet } from '#library/replay-guard/descriptors/descriptor-messages.js';
import { MethodSchemas } from '#library/replay-guard/descriptors/method-schemas.js';
import { requestSchemaOf } from '#library/replay-guard/descriptors/proto-loader.js';
import { requestReader } from '#library/replay-guard/fingerprint/fingerprint.js';
import { codegens, type Item, image, type Parcel } from '../../helpers/codegens/index.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';

const track = '/test.codegen.v1.ParcelService/Track';
const schemas = {
  descriptors: new MethodSchemas(decodeFileSet(image)).request(track),
  'the definition of proto-loader': requestSchemaOf(codegens[0]?.methods.Track),
};

const text = fc.string({ maxLength: 6, unit: 'grapheme' });
const item: fc.Arbitrary<Item> = fc.record({ sku: text, quantity: fc.nat(), seenAt: fc.maxSafeInteger() });
const byKey = { selector: ([key]: readonly [unknown, unknown]) => key, maxLength: 4 };
/** Without -0, which some encoders omit as the default. */
const rate = fc.double().map((value) => value + 0);

const parcels: fc.Arbitrary<Parcel> = fc.record(
  {
    ...{ receiver: text, weightGrams: fc.maxSafeInteger(), rate, fragile: fc.boolean(), speed: fc.nat(4) },
    label: fc.uint8Array({ maxLength: 5 }),
    items: fc.array(item, { maxLength: 3 }),
    marks: fc.array(fc.integer(), { maxLength: 4 }),
    notes: fc.uniqueArray(fc.tuple(text, text), byKey),
    boxes: fc.uniqueArray(fc.tuple(fc.integer(), item), byKey),
    meta: fc.record({ requestId: text, trace: text }),
    payment: fc.oneof(fc.record({ card: text }), fc.record({ goods: item }), fc.record({ voucher: text })),
    comment: text,
    // No times before 1970: ts-proto encodes them with negative nanos.
    clientTimeMs: fc.integer({ min: 0, max: 2 ** 40 }),
  },
  {
    requiredKeys: [
      'receiver',
      'weightGrams',
      'rate',
      'fragile',
      'speed',
      'label',
      'items',
      'marks',
      'notes',
      'boxes',
    ],
  },
);

for (const [source, schema] of Object.entries(schemas)) {
  const read = requestReader(track, { fingerprintExcludes: [] }, schema);
  const fingerprints = (parcel: Parcel) =>
    codegens.map(({ methods, message }) =>
      read(methods.Track.requestSerialize(message(parcel)), undefined).fingerprint.toString('hex'),
    );

  test(`by ${source}: the encodings of all code generators have one fingerprint`, async (t) => {
    const property = fc.property(parcels, parcels, (one, other) => {
      const [ofOne, ofOther] = [new Set(fingerprints(one)), new Set(fingerprints(other))];
      assert.equal(ofOne.size, 1);
      assert.equal(ofOther.size, 1);
      const differ = [...ofOne][0] !== [...ofOther][0];
      assert.equal(differ, fc.stringify(sorted(one)) !== fc.stringify(sorted(other)));
    });
    await assertProperty(t, property, 300);
  });
}

/** Map entries have no order, so they are sorted for the comparison. */
const sorted = ({ notes, boxes, ...rest }: Parcel) => ({
  ...rest,
  notes: new Map([...notes].sort()),
  boxes: new Map([...boxes].sort(([a], [b]) => a - b)),
});
