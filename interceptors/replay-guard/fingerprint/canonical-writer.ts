import { WireReader } from '../../wire/wire-reader.js';
import { WireWriter } from '../../wire/wire-writer.js';
import { type FieldSchema, isPackable, type Scalar, wireTypes } from '../descriptors/message-schema.js';
import { type Offsets, rangesOf } from './wire-fields.js';
import { readCanonicalNumber } from './wire-number.js';

/** Writes the values of fields in canonical form. */
export class CanonicalWriter {
  readonly #out = new WireWriter();

  /**
   * Writes the values of a scalar field. If the field is singular, only the last value is written. A default value is
   * omitted if the field has no presence.
   */
  scalars(buffer: Buffer, field: FieldSchema, scalar: Scalar, offsets: Offsets): void {
    const isList = field.kind === 'repeated';
    const effective = isList ? offsets : offsets.slice(-2);
    if (!isPackable(scalar)) this.#strings(buffer, field, effective);
    else if (isList) this.#list(buffer, field, scalar, effective);
    else this.#number(buffer, field, scalar, effective);
  }

  /**
   * Writes a message field.
   * @param content writes the fields of the message
   */
  nested({ number, delimited }: FieldSchema, content: () => void): void {
    if (delimited) this.#out.group(number, content);
    else this.#out.message(number, content);
  }

  /** Writes the default value of a field: the number 0, or an empty string or message. */
  zero({ number, scalar = 'bytes' }: FieldSchema): void {
    this.#out.tag(number, wireTypes[scalar]);
    this.#bits(scalar, 0, 0);
  }

  /** Returns the written bytes. */
  finish(): Buffer {
    return this.#out.finish();
  }

  #strings(buffer: Buffer, field: FieldSchema, offsets: Offsets): void {
    for (const { start, end } of rangesOf(buffer, offsets)) {
      if (field.kind === 'singular' && !field.hasPresence && start === end) continue;
      this.#out.tag(field.number, 2);
      this.#out.varint(end - start, 0);
      this.#out.copy(buffer, start, end);
    }
  }

  #number(buffer: Buffer, field: FieldSchema, scalar: Scalar, [start = 0, end = 0]: Offsets): void {
    const reader = new WireReader(buffer, start, end);
    readCanonicalNumber(reader, scalar);
    // -0 has other bits than 0, so it is not the default.
    if (!field.hasPresence && reader.low === 0 && reader.high === 0) return;
    this.#out.tag(field.number, wireTypes[scalar]);
    this.#bits(scalar, reader.low, reader.high);
  }

  #list(buffer: Buffer, field: FieldSchema, scalar: Scalar, offsets: Offsets): void {
    if (isEmpty(offsets)) return;
    this.#out.tag(field.number, 2);
    this.#out.delimited(() => {
      for (const { start, end } of rangesOf(buffer, offsets)) {
        const reader = new WireReader(buffer, start, end);
        while (!reader.isDone) {
          readCanonicalNumber(reader, scalar);
          this.#bits(scalar, reader.low, reader.high);
        }
      }
    });
  }

  #bits(scalar: Scalar, low: number, high: number): void {
    const wireType = wireTypes[scalar];
    if (wireType === 0 || wireType === 2) {
      this.#out.varint(low, high);
    } else {
      this.#out.fixed32(low);
      if (wireType === 1) this.#out.fixed32(high);
    }
  }
}

/** Whether a list has no values. A packed list may be present and empty. */
const isEmpty = (offsets: Offsets) =>
  offsets.every((offset, index) => offset === offsets[index - (index % 2)]);
