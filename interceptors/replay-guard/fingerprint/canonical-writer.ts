import { type FieldSchema, isPackable, type Scalar, wireTypes } from '../descriptors/message-schema.js';
import { type Pieces, wiresOf } from './wire-fields.js';
import { readCanonicalNumber } from './wire-number.js';
import { WireReader } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

/** Writes the values of fields, each in the shortest way. */
export class CanonicalWriter {
  readonly #out = new WireWriter();

  /** Of a singular field the last value, unless it is the default and tells nothing. */
  scalars(buffer: Buffer, field: FieldSchema, scalar: Scalar, pieces: Pieces): void {
    const isList = field.kind === 'repeated';
    const counting = isList ? pieces : pieces.slice(-2);
    if (!isPackable(scalar)) this.#strings(buffer, field, counting);
    else if (isList) this.#list(buffer, field, scalar, counting);
    else this.#number(buffer, field, scalar, counting);
  }

  /** A message, by what writes its content. */
  nested({ number, delimited }: FieldSchema, content: () => void): void {
    this.#out.tag(number, delimited ? 3 : 2);
    if (delimited) {
      content();
      this.#out.tag(number, 4);
    } else {
      this.#out.delimited(content);
    }
  }

  /** A number that is 0, or a string or message of no bytes. */
  zero({ number, scalar = 'bytes' }: FieldSchema): void {
    this.#out.tag(number, wireTypes[scalar]);
    this.#bits(scalar, 0, 0);
  }

  finish(): Buffer {
    return this.#out.finish();
  }

  #strings(buffer: Buffer, field: FieldSchema, pieces: Pieces): void {
    for (const { start, end } of wiresOf(buffer, pieces)) {
      if (field.kind === 'singular' && !field.hasPresence && start === end) continue;
      this.#out.tag(field.number, 2);
      this.#out.varint(end - start, 0);
      this.#out.copy(buffer, start, end);
    }
  }

  #number(buffer: Buffer, field: FieldSchema, scalar: Scalar, [start = 0, end = 0]: Pieces): void {
    const reader = new WireReader(buffer, start, end);
    readCanonicalNumber(reader, scalar);
    // The bits of -0 are others: it is no default.
    if (!field.hasPresence && reader.low === 0 && reader.high === 0) return;
    this.#out.tag(field.number, wireTypes[scalar]);
    this.#bits(scalar, reader.low, reader.high);
  }

  #list(buffer: Buffer, field: FieldSchema, scalar: Scalar, pieces: Pieces): void {
    if (isEmpty(pieces)) return;
    this.#out.tag(field.number, 2);
    this.#out.delimited(() => {
      for (const { start, end } of wiresOf(buffer, pieces)) {
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

/** Packed lists may be there and hold nothing. */
const isEmpty = (pieces: Pieces) => pieces.every((at, index) => at === pieces[index - (index % 2)]);
