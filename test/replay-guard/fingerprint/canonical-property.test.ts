import assert from 'node:assert/strict';
import { type DescField, equals, fromBinary } from '@bufbuild/protobuf';
import { loadSync } from '@grpc/proto-loader';
import test from 'ava';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { decodeFileSet } from '#library/replay-guard/descriptors/descriptor-messages.js';
import type { MessageSchema } from '#library/replay-guard/descriptors/message-schema.js';
import { MethodSchemas } from '#library/replay-guard/descriptors/method-schemas.js';
import { requestSchemaOf } from '#library/replay-guard/descriptors/proto-loader.js';
import { canonicalForm } from '#library/replay-guard/fingerprint/canonical-form.js';
import { requestReader } from '#library/replay-guard/fingerprint/fingerprint.js';
import { image, protoFolders, registry, typeNamed } from '../../helpers/codegens/index.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { chooseBy, chooseUsual, decisions } from '../../helpers/messages/encoder-choices.js';
import { messages, mutated } from '../../helpers/messages/random-message.js';
import { encodeModel } from '../../helpers/messages/random-wire.js';

// protobuf-es is an independent decoder that follows the specification. It decides which messages are equal.

const fromImage = new MethodSchemas(decodeFileSet(image));
const policy = { fingerprintExcludes: [] };

interface Subject {
  readonly type: ReturnType<typeof typeNamed>;
  readonly extensions: readonly DescField[];
  readonly schemas: Readonly<Record<string, MessageSchema>>;
}

const subjects = { Everything: 'everything', Legacy: 'legacy', Modern: 'modern' };

function subject(name: string, file: string): Subject {
  const path = `/test.shapes.v1.${name}Service/Do`;
  const loaded = loadSync(`test/shapes/v1/${file}.proto`, { includeDirs: protoFolders });
  const service = loaded[`test.shapes.v1.${name}Service`] as Record<string, unknown>;
  const extensions = ['extension', 'extension_messages', 'Legacy.inner_extension'].map((extension) =>
    registry.getExtension(`test.shapes.v1.${extension}`),
  );
  return {
    type: typeNamed(`test.shapes.v1.${name}`),
    extensions: name === 'Legacy' ? (extensions as unknown as DescField[]) : [],
    schemas: {
      image: fromImage.request(path) as MessageSchema,
      'proto-loader': requestSchemaOf(service.Do) as MessageSchema,
    },
  };
}

for (const [name, file] of Object.entries(subjects)) {
  const { type, extensions, schemas } = subject(name, file);
  const areEqual = (one: Uint8Array, other: Uint8Array) =>
    equals(type, fromBinary(type, one), fromBinary(type, other), { registry, extensions: true });
  /** The decoder behind proto-loader. */
  const decoder = protobuf.loadSync(
    protoFolders.map((folder) => `${folder}test/shapes/v1/${file}.proto`)[1] as string,
  );
  const handlerType = decoder.lookupType(`test.shapes.v1.${name}`);
  const decodedByLoader = (wire: Uint8Array) =>
    handlerType.toObject(handlerType.decode(wire), { defaults: true, longs: String });

  for (const [source, schema] of Object.entries(schemas)) {
    // A definition of proto-loader does not contain the presence of the fields of an edition.
    const knowsPresence = name !== 'Modern' || source !== 'proto-loader';
    const read = requestReader('/any.Service/Do', policy, schema);

    test(`${name} by ${source}: all encodings of a message have one form, and handlers get one message`, async (t) => {
      const property = fc.property(messages(type, extensions), decisions, (model, numbers) => {
        const plain = encodeModel(model, chooseUsual);
        const other = encodeModel(model, chooseBy(numbers));
        assert.ok(areEqual(plain, other), 'the two encodings are equal messages');
        const forms = [plain, other].map((wire) => Buffer.from(canonicalForm(schema, wire).bytes));
        assert.deepEqual(forms[0], forms[1]);
        if (knowsPresence)
          assert.ok(areEqual(plain, forms[0] as Uint8Array), 'the form is an encoding of the message');
        assert.deepEqual(
          decodedByLoader(read(other, undefined).unambiguous ?? other),
          decodedByLoader(plain),
        );
      });
      await assertProperty(t, property, 400);
    });

    if (!knowsPresence) continue;

    test(`${name} by ${source}: two messages have one form if and only if they are equal`, async (t) => {
      let equal = 0;
      const property = fc.property(
        messages(type, extensions),
        messages(type, extensions),
        decisions,
        (model, source, numbers) => {
          const choose = chooseBy(numbers);
          const one = encodeModel(model, choose);
          const other = encodeModel(mutated(model, source, choose), choose);
          const same = areEqual(one, other);
          if (same) equal++;
          const forms = [one, other].map((wire) => Buffer.from(canonicalForm(schema, wire).bytes));
          assert.equal(forms[0]?.equals(forms[1] as Buffer), same);
        },
      );
      await assertProperty(t, property, 600);
      t.true(equal < 300, 'most messages differ');
    });
  }
}
