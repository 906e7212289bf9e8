import { WireReader } from '../../wire/wire-reader.js';
import type { FieldSchema, MessageSchema, Scalar } from '../descriptors/message-schema.js';
import { CanonicalWriter } from './canonical-writer.js';
import type { ExcludedFields } from './field-path.js';
import { type ByteRange, FieldReader, type Offsets, rangesOf, type WireFields } from './wire-fields.js';
import { readCanonicalNumber } from './wire-number.js';

/** A message in canonical form. Equal messages have equal bytes. */
export interface CanonicalForm {
  /** A valid encoding: fields sorted by number, map entries sorted by key, defaults omitted, numbers packed. */
  readonly bytes: Buffer;
  /**
   * Whether all decoders read the same message from the original bytes. Decoders may disagree if the bytes contain: a
   * singular field twice, a map key twice, several members of a oneof, a field with a wrong wire type, a map entry
   * without key or value, or a number of unusual length.
   */
  readonly isUnambiguous: boolean;
}

/** The maximum nesting depth of messages. protobuf's own parsers have the same limit. */
const MAX_DEPTH = 100;
const nothing: ExcludedFields = new Map();

/**
 * Returns the canonical form of an encoded message. The order of fields and map entries, explicit defaults,
 * packing, and the splitting of a message into parts do not change the form. Unknown fields and excluded fields
 * are omitted.
 * @throws Error if the bytes are malformed or nested more than 100 messages deep
 */
export function canonicalForm(schema: MessageSchema, encoded: Uint8Array, excluded = nothing): CanonicalForm {
  const canonical = new Canonicalizer();
  const buffer = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  canonical.message(schema, rangeOf(buffer), excluded, 0);
  return { bytes: canonical.writer.finish(), isUnambiguous: canonical.reader.isUnambiguous };
}

class Canonicalizer {
  readonly reader = new FieldReader();
  readonly writer = new CanonicalWriter();

  message(schema: MessageSchema, range: ByteRange, excluded: ExcludedFields, depth: number): void {
    if (depth > MAX_DEPTH) throw new Error('the message is nested too deeply');
    this.#fields(this.reader.read(schema, range), range.buffer, excluded, depth);
  }

  #fields(fields: WireFields, buffer: Buffer, excluded: ExcludedFields, depth: number): void {
    for (const field of inOrder(fields)) {
      const offsets = fields.get(field) as Offsets;
      const inside = excluded.get(field.number);
      if (field.kind === 'singular' && offsets.length > 2) this.reader.isUnambiguous = false;
      if (inside?.size === 0) continue;
      if (field.scalar) this.writer.scalars(buffer, field, field.scalar, offsets);
      else if (field.kind === 'map') this.#map(field, buffer, offsets, inside ?? nothing, depth);
      else this.#messages(field, buffer, offsets, inside ?? nothing, depth);
    }
  }

  #messages(
    field: FieldSchema,
    buffer: Buffer,
    offsets: Offsets,
    excluded: ExcludedFields,
    depth: number,
  ): void {
    const schema = field.message as MessageSchema;
    const isSplit = field.kind === 'singular' && offsets.length > 2;
    for (const range of isSplit ? [merged(buffer, offsets)] : rangesOf(buffer, offsets))
      this.writer.nested(field, () => this.message(schema, range, excluded, depth + 1));
  }

  /** Writes the entries sorted by key. If several entries have the same key, only the last entry is written. */
  #map(field: FieldSchema, buffer: Buffer, offsets: Offsets, excluded: ExcludedFields, depth: number): void {
    const schema = field.message as MessageSchema;
    const byKey = new Map<string, ByteRange>();
    for (const range of rangesOf(buffer, offsets)) byKey.set(this.#keyOf(schema, range), range);
    if (byKey.size < offsets.length / 2) this.reader.isUnambiguous = false;
    const inside: ExcludedFields = excluded.size > 0 ? new Map([[2, excluded]]) : nothing;
    for (const [, range] of [...byKey].sort(([one], [other]) => (one < other ? -1 : 1)))
      this.writer.nested(field, () => this.#entry(schema, range, inside, depth));
  }

  /** Writes both fields of a map entry. An absent field has its default value. */
  #entry(schema: MessageSchema, range: ByteRange, excluded: ExcludedFields, depth: number): void {
    const fields = this.reader.read(schema, range);
    for (const field of [...schema.fields.values()].sort(byNumber)) {
      const offsets = fields.get(field);
      if (offsets) {
        this.#fields(new Map([[field, offsets]]), range.buffer, excluded, depth);
      } else {
        this.reader.isUnambiguous = false;
        this.writer.zero(field);
      }
    }
  }

  /**
   * Returns the key of a map entry as a text. String keys are decoded, because handlers receive decoded keys, and
   * different invalid UTF-8 bytes may decode to the same text. Other keys are compared by their bits.
   */
  #keyOf(schema: MessageSchema, range: ByteRange): string {
    const key = schema.fields.get(1) as FieldSchema;
    const [start, end] = this.reader.read(schema, range).get(key)?.slice(-2) ?? [];
    if (key.scalar === 'string') return range.buffer.toString('utf8', start ?? 0, end ?? 0);
    if (start === undefined || end === undefined) return '0 0';
    const reader = new WireReader(range.buffer, start, end);
    readCanonicalNumber(reader, key.scalar as Scalar);
    return `${reader.high} ${reader.low}`;
  }
}

const rangeOf = (buffer: Buffer): ByteRange => ({ buffer, start: 0, end: buffer.length });

/** Concatenates the parts of one message. A decoder merges concatenated messages. */
const merged = (buffer: Buffer, offsets: Offsets): ByteRange =>
  rangeOf(Buffer.concat([...rangesOf(buffer, offsets)].map(({ start, end }) => buffer.subarray(start, end))));

/** Returns the fields in the order of their numbers. Most encoders already write them in this order. */
function inOrder(fields: WireFields): Iterable<FieldSchema> {
  let last = 0;
  for (const { number } of fields.keys()) {
    if (number < last) return [...fields.keys()].sort(byNumber);
    last = number;
  }
  return fields.keys();
}

const byNumber = (one: FieldSchema, other: FieldSchema) => one.number - other.number;
