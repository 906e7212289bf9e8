import { WireWriter } from '../../wire/wire-writer.js';
import { type FieldSchema, isPackable, type Scalar, wireTypes } from '../descriptors/message-schema.js';
import type { FieldLayout } from './message-layout.js';
import type { WireFields } from './wire-fields.js';
import { readCanonicalNumber } from './wire-number.js';

/** Writes the values of scalar fields in canonical form. Positions are those of `WireFields`. */
export class CanonicalWriter {
  readonly out: WireWriter;
  readonly #buffer: Buffer;
  readonly #fields: WireFields;

  constructor(buffer: Buffer, fields: WireFields) {
    this.#buffer = buffer;
    this.#fields = fields;
    this.out = new WireWriter(buffer.length);
  }

  /**
   * Writes the values of a scalar field from one position to another. If the field is singular, only the last value is
   * written. A default value is omitted if the field has no presence.
   */
  scalars(field: FieldLayout, scalar: Scalar, from: number, to: number): void {
    const isList = field.schema.kind === 'repeated';
    if (!isPackable(scalar)) this.#strings(field.schema, isList ? from : to - 1, to);
    else if (isList) this.#list(field, scalar, from, to);
    else this.#number(field, scalar, to - 1);
  }

  /** Writes the default value of a field: the number 0, or an empty string or message. */
  zero({ number, scalar = 'bytes' }: FieldSchema): void {
    this.out.tag(number, wireTypes[scalar]);
    this.#bits(wireTypes[scalar], 0, 0);
  }

  #strings({ kind, number, hasPresence }: FieldSchema, from: number, to: number): void {
    for (let position = from; position < to; position++) {
      const start = this.#fields.startAt(position);
      const end = this.#fields.endAt(position);
      if (kind === 'singular' && !hasPresence && start === end) continue;
      this.out.tag(number, 2);
      this.out.varint(end - start, 0);
      this.out.copy(this.#buffer, start, end);
    }
  }

  #number({ schema, wireType }: FieldLayout, scalar: Scalar, position: number): void {
    const { reader } = this.#fields;
    reader.moveTo(this.#fields.startAt(position), this.#fields.endAt(position));
    readCanonicalNumber(reader, wireType, scalar);
    // -0 has other bits than 0, so it is not the default.
    if (!schema.hasPresence && reader.low === 0 && reader.high === 0) return;
    this.out.tag(schema.number, wireType);
    this.#bits(wireType, reader.low, reader.high);
  }

  #list({ schema, wireType }: FieldLayout, scalar: Scalar, from: number, to: number): void {
    const { reader } = this.#fields;
    const size = this.#sizeOf(from, to);
    // A packed list may be present and empty.
    if (size === 0) return;
    this.out.tag(schema.number, 2);
    const start = this.out.openDelimited(size);
    for (let position = from; position < to; position++) {
      reader.moveTo(this.#fields.startAt(position), this.#fields.endAt(position));
      while (!reader.isDone) {
        readCanonicalNumber(reader, wireType, scalar);
        this.#bits(wireType, reader.low, reader.high);
      }
    }
    this.out.closeDelimited(start, size);
  }

  #sizeOf(from: number, to: number): number {
    let size = 0;
    for (let position = from; position < to; position++)
      size += this.#fields.endAt(position) - this.#fields.startAt(position);
    return size;
  }

  #bits(wireType: number, low: number, high: number): void {
    if (wireType === 0 || wireType === 2) {
      this.out.varint(low, high);
    } else {
      this.out.fixed32(low);
      if (wireType === 1) this.out.fixed32(high);
    }
  }
}
