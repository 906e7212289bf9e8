import {
  type FieldSchema,
  isPackable,
  type MessageSchema,
  type Scalar,
  wireTypes,
} from '../descriptors/message-schema.js';
import { readNumber } from './wire-number.js';
import { WireReader } from './wire-reader.js';

const LENGTH_DELIMITED = 2;
const GROUP_START = 3;

/** A message, or what else stands in one piece. */
export interface Wire {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

/**
 * Where the values of a field stand, in order of arrival: start, end, start, end ... Of numbers several may
 * stand in one piece; strings and messages do without their length. Offsets, since there may be millions.
 */
export type Pieces = readonly number[];

/** The known fields of a message. */
export type WireFields = ReadonlyMap<FieldSchema, Pieces>;

export function* wiresOf(buffer: Buffer, pieces: Pieces): Iterable<Wire> {
  for (let at = 0; at < pieces.length; at += 2)
    yield { buffer, start: pieces[at] as number, end: pieces[at + 1] as number };
}

/** Reads one level of a message after the other, and notes whether decoders agree about it. */
export class FieldReader {
  /** False once there was a member of a oneof after another, a field in another wire type, an unusual number. */
  regular = true;

  /**
   * Of several members of a oneof the last one counts; unknown fields do not.
   * @throws Error the bytes are no message
   */
  read(shape: MessageSchema, { buffer, start, end }: Wire): WireFields {
    const reader = new WireReader(buffer, start, end);
    const fields = new Map<FieldSchema, number[]>();
    while (!reader.isDone) {
      const tag = reader.tag();
      const field = shape.fields.get(tag >>> 3);
      const pieces = (field && fields.get(field)) ?? [];
      if (field && this.#piece(reader, field, tag & 7, pieces)) {
        if (field.oneof !== undefined) this.#dropRivals(field, fields);
        fields.set(field, pieces);
      } else {
        // A known field in a wire type that it cannot have counts as unknown.
        if (field) this.regular = false;
        reader.skip(tag);
      }
    }
    return fields;
  }

  /** Adds what stands behind a tag to the pieces; false where the field cannot have this wire type. */
  #piece(reader: WireReader, field: FieldSchema, wireType: number, pieces: number[]): boolean {
    const { scalar, kind, number, delimited } = field;
    const isPacked = wireType === LENGTH_DELIMITED && kind === 'repeated' && scalar && isPackable(scalar);
    if (wireType !== wireTypeOf(field) && !isPacked) return false;
    if (delimited) {
      pieces.push(reader.position, reader.skipGroup(number));
    } else if (wireType === LENGTH_DELIMITED) {
      const length = reader.length();
      const start = isPacked ? this.#numbers(reader, scalar, length) : reader.skipBytes(length);
      pieces.push(start, start + length);
    } else {
      pieces.push(reader.position);
      this.#number(reader, scalar as Scalar);
      pieces.push(reader.position);
    }
    return true;
  }

  #numbers(reader: WireReader, scalar: Scalar, length: number): number {
    const start = reader.position;
    while (reader.position < start + length) this.#number(reader, scalar);
    if (reader.position > start + length) throw new Error('a list ends inside a number');
    return start;
  }

  #number(reader: WireReader, scalar: Scalar): void {
    const size = readNumber(reader, scalar);
    if (wireTypes[scalar] !== 0 || scalar.endsWith('64')) return;
    const isHighFlag = scalar === 'bool' && reader.low === 0 && reader.high !== 0;
    if ((size > 5 && size < 10) || isHighFlag) this.regular = false;
  }

  #dropRivals(field: FieldSchema, fields: Map<FieldSchema, number[]>): void {
    for (const other of [...fields.keys()]) {
      if (other === field || other.oneof !== field.oneof) continue;
      fields.delete(other);
      this.regular = false;
    }
  }
}

function wireTypeOf({ scalar, delimited }: FieldSchema): number {
  if (scalar) return wireTypes[scalar];
  return delimited ? GROUP_START : LENGTH_DELIMITED;
}
