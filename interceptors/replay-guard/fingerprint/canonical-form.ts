import type { MessageSchema, Scalar } from '../descriptors/message-schema.js';
import { CanonicalWriter } from './canonical-writer.js';
import type { ExcludedFields } from './field-path.js';
import { MapKeys } from './map-keys.js';
import { type FieldLayout, layoutOf, type MessageLayout } from './message-layout.js';
import { WireFields } from './wire-fields.js';
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
 * are omitted. The time grows with the size of the message, and with the sorting of map entries that are not in order.
 * @throws Error if the bytes are malformed or nested more than 100 messages deep
 */
export function canonicalForm(schema: MessageSchema, encoded: Uint8Array, excluded = nothing): CanonicalForm {
  const buffer = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const canonical = new Canonicalizer(buffer);
  return canonical.form(layoutOf(schema), excluded);
}

/** Reads the values of a message, then writes the values in canonical form. Positions are those of `WireFields`. */
class Canonicalizer {
  readonly #buffer: Buffer;
  readonly #fields: WireFields;
  readonly #writer: CanonicalWriter;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    this.#fields = new WireFields(buffer);
    this.#writer = new CanonicalWriter(buffer, this.#fields);
  }

  form(layout: MessageLayout, excluded: ExcludedFields): CanonicalForm {
    this.#fields.push(0, 0, this.#buffer.length);
    this.#message(layout, 0, 1, excluded, 0);
    return { bytes: this.#writer.out.finish(), isUnambiguous: this.#fields.isUnambiguous };
  }

  /** Writes the fields of a message. The parts of the message are the values from one position to another. */
  #message(layout: MessageLayout, from: number, to: number, excluded: ExcludedFields, depth: number): void {
    if (depth > MAX_DEPTH) throw new Error('the message is nested too deeply');
    const fields = this.#fields;
    const base = fields.size;
    fields.read(layout, from, to);
    const end = fields.size;
    for (let first = base; first < end; ) {
      const next = fields.nextField(first);
      this.#values(layout.fields[fields.fieldAt(first)] as FieldLayout, first, next, excluded, depth);
      first = next;
    }
    fields.size = base;
  }

  /** Writes the values of one field from one position to another. */
  #values(field: FieldLayout, from: number, to: number, excluded: ExcludedFields, depth: number): void {
    const { kind, scalar, number } = field.schema;
    if (kind === 'singular' && to - from > 1) this.#fields.isUnambiguous = false;
    const inside = excluded.get(number);
    if (inside?.size === 0) return;
    if (scalar) this.#writer.scalars(field, scalar, from, to);
    else if (kind === 'map') this.#map(field, from, to, inside ?? nothing, depth);
    else if (kind === 'singular') this.#nested(field, from, to, inside ?? nothing, depth);
    else
      for (let position = from; position < to; position++)
        this.#nested(field, position, position + 1, inside ?? nothing, depth);
  }

  /** Writes one message field. A decoder merges the parts of a split message. */
  #nested(field: FieldLayout, from: number, to: number, excluded: ExcludedFields, depth: number): void {
    const { number, delimited } = field.schema;
    const { out } = this.#writer;
    if (delimited) {
      out.tag(number, 3);
      this.#message(field.content, from, to, excluded, depth + 1);
      out.tag(number, 4);
    } else {
      out.tag(number, 2);
      // The form usually has the length of the original message.
      const length = this.#fields.endAt(to - 1) - this.#fields.startAt(to - 1);
      const start = out.openDelimited(length);
      this.#message(field.content, from, to, excluded, depth + 1);
      out.closeDelimited(start, length);
    }
  }

  /** Writes the entries sorted by key. If several entries have the same key, only the last entry is written. */
  #map(field: FieldLayout, from: number, to: number, excluded: ExcludedFields, depth: number): void {
    const isText = field.content.fields[0]?.schema.scalar === 'string';
    const keys = new MapKeys(this.#buffer, to - from, isText);
    for (let position = from; position < to; position++) this.#addKey(keys, field.content, position);
    const order = keys.sorted();
    const inside: ExcludedFields = excluded.size > 0 ? new Map([[2, excluded]]) : nothing;
    const count = order ? order.length : to - from;
    if (count < to - from) this.#fields.isUnambiguous = false;
    for (let at = 0; at < count; at++)
      this.#entry(field, from + (order ? (order[at] as number) : at), inside, depth);
  }

  #addKey(keys: MapKeys, entry: MessageLayout, position: number): void {
    const fields = this.#fields;
    const { reader } = fields;
    const base = fields.size;
    fields.read(entry, position, position + 1);
    const key = entry.fields[0] as FieldLayout;
    let [start, end] = [0, 0];
    if (fields.size > base && fields.fieldAt(base) === key.index) {
      const last = fields.nextField(base) - 1;
      start = fields.startAt(last);
      end = fields.endAt(last);
    }
    fields.size = base;
    if (key.schema.scalar === 'string') {
      keys.addText(start, end);
    } else if (end > 0) {
      reader.moveTo(start, end);
      readCanonicalNumber(reader, key.wireType, key.schema.scalar as Scalar);
      keys.addBits(reader.low, reader.high);
    } else {
      keys.addBits(0, 0);
    }
  }

  /** Writes both fields of a map entry. An absent field has its default value. */
  #entry(field: FieldLayout, position: number, excluded: ExcludedFields, depth: number): void {
    const fields = this.#fields;
    const { out } = this.#writer;
    const length = fields.endAt(position) - fields.startAt(position);
    out.tag(field.schema.number, 2);
    const start = out.openDelimited(length);
    const base = fields.size;
    fields.read(field.content, position, position + 1);
    let first = base;
    for (const part of field.content.fields) {
      if (first < fields.size && fields.fieldAt(first) === part.index) {
        const next = fields.nextField(first);
        this.#values(part, first, next, excluded, depth);
        first = next;
      } else {
        fields.isUnambiguous = false;
        this.#writer.zero(part.schema);
      }
    }
    fields.size = base;
    out.closeDelimited(start, length);
  }
}
