import { isDeepStrictEqual } from 'node:util';
import type { DescExtension, DescField } from '@bufbuild/protobuf';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { decodeFileSet } from '#library/replay-guard/descriptors/descriptor-messages.js';
import type { FieldSchema, MessageSchema } from '#library/replay-guard/descriptors/message-schema.js';
import { MethodSchemas } from '#library/replay-guard/descriptors/method-schemas.js';
import { canonicalForm } from '#library/replay-guard/fingerprint/canonical-form.js';
import { requestReader } from '#library/replay-guard/fingerprint/fingerprint.js';
import { image, protoFolders, registry, typeNamed } from '../../helpers/codegens/index.js';
import { chooseBy, decisions } from '../../helpers/messages/encoder-choices.js';
import { messages, mutated } from '../../helpers/messages/random-message.js';
import { encodeModel } from '../../helpers/messages/random-wire.js';
import { mutateBytes, mutations } from '../inputs/mutations.js';
import { readMessage } from '../references/reference-message.js';
import { wireForm } from '../references/reference-wire.js';
import { must, type Target } from '../target.js';

/** Two encoded messages of one type. They may be equal messages, or not. */
interface RequestInput {
  readonly type: keyof typeof subjects;
  readonly one: Uint8Array;
  readonly other: Uint8Array;
  /** The canonical form of `one`, if the corpus records it. No version may change a recorded form. */
  readonly form?: Uint8Array;
}

const fromImage = new MethodSchemas(decodeFileSet(image));

function subject(name: string, file: string) {
  const decoder = protobuf.loadSync(`${protoFolders[1]}test/shapes/v1/${file}.proto`);
  const schema = fromImage.request(`/test.shapes.v1.${name}Service/Do`) as MessageSchema;
  return {
    type: typeNamed(`test.shapes.v1.${name}`),
    schema,
    handler: decoder.lookupType(`test.shapes.v1.${name}`),
  };
}

const subjects = {
  Everything: subject('Everything', 'everything'),
  Legacy: subject('Legacy', 'legacy'),
  Modern: subject('Modern', 'modern'),
};

const extensions = ['extension', 'extension_messages', 'Legacy.inner_extension'].map((name) =>
  registry.getExtension(`test.shapes.v1.${name}`),
) as DescExtension[];

/** A message in one encoding, beside another encoding, a changed message, mutated bytes, or a merged message. */
const inputs = fc.constantFrom(...(Object.keys(subjects) as (keyof typeof subjects)[])).chain((name) => {
  const model = messages(
    subjects[name].type,
    name === 'Legacy' ? (extensions as unknown as DescField[]) : [],
  );
  return fc
    .tuple(model, model, decisions, decisions, fc.nat(4), mutations)
    .map(([message, source, numbers, others, relation, changes]): RequestInput => {
      const choose = chooseBy(numbers);
      const one = encodeModel(message, choose);
      const others_ = chooseBy(others);
      const related = [
        () => ({ one, other: encodeModel(message, others_) }),
        () => ({ one, other: encodeModel(mutated(message, source, choose), others_) }),
        () => ({ one, other: mutateBytes(one, changes) }),
        () => ({ one: Buffer.concat([one, encodeModel(source, others_)]), other: one }),
        () => ({
          one: mutateBytes(one, changes),
          other: mutateBytes(encodeModel(message, others_), changes),
        }),
      ];
      return { type: name, ...(related[relation]?.() ?? { one, other: one }) };
    });
});

/** The bytes of requests, against their canonical form. */
export const requestTarget: Target<RequestInput> = {
  title: 'request bytes and their canonical form',
  inputs,
  quickRuns: 300,
  requires: ['equal pairs', 'different pairs', 'malformed messages', 'ambiguous messages'],
  planted: 'the entries of a map keep the order of the wire',
  open(_t, { planted, count }) {
    return {
      check({ type: name, one, other, form }) {
        const { type, schema, handler } = subjects[name];
        const forms = [one, other].map((wire) => checked(planted ? withoutMaps(schema) : schema, wire));
        // The decoder reads a field with a wrong wire type in its own way.
        const read = [one, other].map((wire) =>
          wireForm(type, wire, extensions) === 'regular' ? readMessage(type, wire) : undefined,
        );
        for (const [index, wire] of [one, other].entries()) {
          const [own, reference] = [forms[index], read[index]];
          const isMalformed = wireForm(type, wire, extensions) === 'malformed';
          must(isMalformed || own !== undefined, 'a message has no canonical form');
          if (isMalformed) count('malformed messages');
          if (!own) continue;
          must(wireForm(type, own, extensions) === 'regular', 'the canonical form is malformed');
          if (reference && !reference.isLossy)
            must(readMessage(type, own)?.text === reference.text, 'the form is another message');
          const requestOf = requestReader('/any/Do', { fingerprintExcludes: [] }, schema);
          const received = requestOf(Buffer.from(wire), undefined).unambiguous ?? Buffer.from(wire);
          const decoded = plain(handler, received);
          if (decoded)
            must(
              isDeepStrictEqual(decoded, plain(handler, own)),
              'the handler receives another message than the fingerprinted one',
            );
          // Only parts that later parts replace may be malformed. The handler does not receive such parts.
          must(!isMalformed || !received.equals(wire), 'the handler receives a malformed message');
          if (!received.equals(wire)) count('ambiguous messages');
        }
        if (form) must(Buffer.from(form).equals(forms[0] as Buffer), 'the canonical form has changed');
        const [[oneForm, otherForm], [oneRead, otherRead]] = [forms, read];
        if (!oneForm || !otherForm || !oneRead || !otherRead) return;
        const [equalForms, equalTexts] = [oneForm.equals(otherForm), oneRead.text === otherRead.text];
        if (equalForms && !oneRead.isLossy && !otherRead.isLossy)
          must(equalTexts, 'two different messages have one canonical form');
        if (equalTexts && !oneRead.isLossy && !otherRead.isLossy)
          must(equalForms, 'two encodings of one message have different forms');
        count(equalForms ? 'equal pairs' : 'different pairs');
      },
    };
  },
};

/** Returns the canonical form, after the checks that need no reference. Undefined: the documented refusal. */
function checked(schema: MessageSchema, wire: Uint8Array): Buffer | undefined {
  const before = Buffer.from(wire);
  const form = attempt(() => canonicalForm(schema, wire));
  must(before.equals(wire), 'the request was changed');
  if (!form) return undefined;
  const again = canonicalForm(schema, Buffer.concat([Buffer.alloc(3), wire]).subarray(3));
  must(again.bytes.equals(form.bytes), 'the form depends on the position of the bytes in memory');
  const canonical = canonicalForm(schema, form.bytes);
  must(canonical.bytes.equals(form.bytes), 'the canonical form of the form is another one');
  must(canonical.isUnambiguous, 'the canonical form is ambiguous');
  return form.bytes;
}

/** Returns undefined after a plain Error, which is the documented refusal. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && !(error instanceof TypeError)) return undefined;
    throw error;
  }
}

/** The message that a handler receives. Undefined if the decoder behind proto-loader refuses the bytes. */
function plain(type: protobuf.Type, wire: Uint8Array): object | undefined {
  try {
    return type.toObject(type.decode(wire), { defaults: true, longs: String });
  } catch {
    return undefined;
  }
}

/** The planted bug: a schema whose maps are lists of messages, so their entries are not sorted. */
function withoutMaps(schema: MessageSchema): MessageSchema {
  const asList = (field: FieldSchema): FieldSchema =>
    field.kind === 'map' ? { ...field, kind: 'repeated' } : field;
  return { ...schema, fields: new Map([...schema.fields].map(([number, field]) => [number, asList(field)])) };
}
