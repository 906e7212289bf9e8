import type { FieldSchema, MessageSchema, Scalar } from '../descriptors/message-schema.js';
import { CanonicalWriter } from './canonical-writer.js';
import { FieldReader, type Pieces, type Wire, type WireFields, wiresOf } from './wire-fields.js';
import { readCanonicalNumber } from './wire-number.js';
import { WireReader } from './wire-reader.js';

/** Fields by number that are left out, or what is left out of their messages; an empty map leaves out all. */
export type ExcludedFields = ReadonlyMap<number, ExcludedFields>;

/** A message in the one form that all equal messages have. */
export interface CanonicalForm {
  /** A valid encoding: fields by number, map entries by key, defaults left out, numbers packed. */
  readonly bytes: Buffer;
  /**
   * False where the wire held what decoders differ about: a singular field or a map key twice, several members
   * of a oneof, a field in another wire type, a map entry without its key or value, a number of unusual length.
   */
  readonly regular: boolean;
}

/** How deep messages may be nested, as in protobuf's own parsers. */
const DEEPEST = 100;
const nothing: ExcludedFields = new Map();

/**
 * Equal for messages that are equal as protobuf messages, whatever the order of fields and map entries on
 * the wire, explicit defaults, packed or not, in one part or several. Unknown fields are left out.
 * @throws Error the bytes are no message, or one that is nested too deep
 */
export function canonicalForm(shape: MessageSchema, wire: Uint8Array, excluded = nothing): CanonicalForm {
  const canonical = new Canonical();
  canonical.message(shape, whole(Buffer.from(wire.buffer, wire.byteOffset, wire.byteLength)), excluded, 0);
  return { bytes: canonical.writer.finish(), regular: canonical.reader.regular };
}

class Canonical {
  readonly reader = new FieldReader();
  readonly writer = new CanonicalWriter();

  message(shape: MessageSchema, wire: Wire, excluded: ExcludedFields, depth: number): void {
    if (depth > DEEPEST) throw new Error('the message is nested too deep');
    this.#fields(this.reader.read(shape, wire), wire.buffer, excluded, depth);
  }

  #fields(fields: WireFields, buffer: Buffer, excluded: ExcludedFields, depth: number): void {
    for (const field of [...fields.keys()].sort(byNumber)) {
      const pieces = fields.get(field) as Pieces;
      const inside = excluded.get(field.number);
      if (field.kind === 'singular' && pieces.length > 2) this.reader.regular = false;
      if (inside?.size === 0) continue;
      if (field.scalar) this.writer.scalars(buffer, field, field.scalar, pieces);
      else if (field.kind === 'map') this.#map(field, buffer, pieces, inside ?? nothing, depth);
      else this.#messages(field, buffer, pieces, inside ?? nothing, depth);
    }
  }

  #messages(
    field: FieldSchema,
    buffer: Buffer,
    pieces: Pieces,
    excluded: ExcludedFields,
    depth: number,
  ): void {
    const shape = field.message as MessageSchema;
    const isSplit = field.kind === 'singular' && pieces.length > 2;
    for (const wire of isSplit ? [merged(buffer, pieces)] : wiresOf(buffer, pieces))
      this.writer.nested(field, () => this.message(shape, wire, excluded, depth + 1));
  }

  /** Sorted by key; of two entries with one key the last counts. */
  #map(field: FieldSchema, buffer: Buffer, pieces: Pieces, excluded: ExcludedFields, depth: number): void {
    const shape = field.message as MessageSchema;
    const byKey = new Map<string, Wire>();
    for (const wire of wiresOf(buffer, pieces)) byKey.set(this.#keyOf(shape, wire), wire);
    if (byKey.size < pieces.length / 2) this.reader.regular = false;
    const inside: ExcludedFields = excluded.size > 0 ? new Map([[2, excluded]]) : nothing;
    for (const [, wire] of [...byKey].sort(([one], [other]) => (one < other ? -1 : 1)))
      this.writer.nested(field, () => this.#entry(shape, wire, inside, depth));
  }

  /** Both its fields, of which an absent one has the default. */
  #entry(shape: MessageSchema, wire: Wire, excluded: ExcludedFields, depth: number): void {
    const fields = this.reader.read(shape, wire);
    for (const field of [...shape.fields.values()].sort(byNumber)) {
      const pieces = fields.get(field);
      if (pieces) {
        this.#fields(new Map([[field, pieces]]), wire.buffer, excluded, depth);
      } else {
        this.reader.regular = false;
        this.writer.zero(field);
      }
    }
  }

  /** Texts as handlers see them, for whom bytes that are no UTF-8 may be the same text; numbers by their bits. */
  #keyOf(shape: MessageSchema, wire: Wire): string {
    const key = shape.fields.get(1) as FieldSchema;
    const [start, end] = this.reader.read(shape, wire).get(key)?.slice(-2) ?? [];
    if (key.scalar === 'string') return wire.buffer.toString('utf8', start ?? 0, end ?? 0);
    if (start === undefined || end === undefined) return '0 0';
    const reader = new WireReader(wire.buffer, start, end);
    readCanonicalNumber(reader, key.scalar as Scalar);
    return `${reader.high} ${reader.low}`;
  }
}

const whole = (buffer: Buffer): Wire => ({ buffer, start: 0, end: buffer.length });

/** Messages merge by standing one behind the other. */
const merged = (buffer: Buffer, pieces: Pieces): Wire =>
  whole(Buffer.concat([...wiresOf(buffer, pieces)].map(({ start, end }) => buffer.subarray(start, end))));

const byNumber = (one: FieldSchema, other: FieldSchema) => one.number - other.number;
