import { WireReader } from '../../wire/wire-reader.js';
import {
  type FieldSchema,
  isPackable,
  type MessageSchema,
  type Scalar,
  wireTypes,
} from '../descriptors/message-schema.js';
import { readNumber } from './wire-number.js';

const LENGTH_DELIMITED = 2;
const GROUP_START = 3;

/** A part of a buffer: a message, a string, a number, or a packed list of numbers. */
export interface ByteRange {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

/**
 * The byte ranges of a field's values, in the order of the message: start, end, start, end, and so on. One range may
 * contain several packed numbers. The ranges of strings and messages exclude the length prefix. The list has plain
 * numbers and no objects, because a message may have millions of values.
 */
export type Offsets = readonly number[];

/** The known fields of a message, each with the offsets of its values. */
export type WireFields = ReadonlyMap<FieldSchema, Offsets>;

/** Iterates over the byte ranges of a field. */
export function* rangesOf(buffer: Buffer, offsets: Offsets): Iterable<ByteRange> {
  for (let index = 0; index < offsets.length; index += 2)
    yield { buffer, start: offsets[index] as number, end: offsets[index + 1] as number };
}

/** Reads the fields of messages, and records whether decoders may disagree on the bytes. */
export class FieldReader {
  /** False after a repeated oneof, a field with a wrong wire type, or a number of unusual length. */
  isUnambiguous = true;

  /**
   * Reads the fields of one message, but not of nested messages. If several members of a oneof are set, only the last
   * member is kept. Unknown fields are ignored.
   * @throws Error if the bytes are malformed
   */
  read(schema: MessageSchema, { buffer, start, end }: ByteRange): WireFields {
    const reader = new WireReader(buffer, start, end);
    const fields = new Map<FieldSchema, number[]>();
    while (!reader.isDone) {
      const tag = reader.tag();
      const field = schema.fields.get(tag >>> 3);
      const offsets = (field && fields.get(field)) ?? [];
      if (field && this.#value(reader, field, tag & 7, offsets)) {
        if (field.oneof !== undefined) this.#removeOtherMembers(field, fields);
        fields.set(field, offsets);
      } else {
        // A known field with a wrong wire type is treated as unknown.
        if (field) this.isUnambiguous = false;
        reader.skip(tag);
      }
    }
    return fields;
  }

  /** Reads the value after a tag and adds its offsets. Returns false if the wire type is wrong for the field. */
  #value(reader: WireReader, field: FieldSchema, wireType: number, offsets: number[]): boolean {
    const { scalar, kind, number, delimited } = field;
    const isPacked = wireType === LENGTH_DELIMITED && kind === 'repeated' && scalar && isPackable(scalar);
    if (wireType !== wireTypeOf(field) && !isPacked) return false;
    if (delimited) {
      offsets.push(reader.position, reader.skipGroup(number));
    } else if (wireType === LENGTH_DELIMITED) {
      const length = reader.length();
      const start = isPacked ? this.#numbers(reader, scalar, length) : reader.skipBytes(length);
      offsets.push(start, start + length);
    } else {
      offsets.push(reader.position);
      this.#number(reader, scalar as Scalar);
      offsets.push(reader.position);
    }
    return true;
  }

  #numbers(reader: WireReader, scalar: Scalar, length: number): number {
    const start = reader.position;
    while (reader.position < start + length) this.#number(reader, scalar);
    if (reader.position > start + length) throw new Error('a packed list ends inside a number');
    return start;
  }

  #number(reader: WireReader, scalar: Scalar): void {
    const size = readNumber(reader, scalar);
    if (wireTypes[scalar] !== 0 || scalar.endsWith('64')) return;
    const hasOnlyHighBits = scalar === 'bool' && reader.low === 0 && reader.high !== 0;
    if ((size > 5 && size < 10) || hasOnlyHighBits) this.isUnambiguous = false;
  }

  #removeOtherMembers(field: FieldSchema, fields: Map<FieldSchema, number[]>): void {
    for (const other of [...fields.keys()]) {
      if (other === field || other.oneof !== field.oneof) continue;
      fields.delete(other);
      this.isUnambiguous = false;
    }
  }
}

function wireTypeOf({ scalar, delimited }: FieldSchema): number {
  if (scalar) return wireTypes[scalar];
  return delimited ? GROUP_START : LENGTH_DELIMITED;
}
