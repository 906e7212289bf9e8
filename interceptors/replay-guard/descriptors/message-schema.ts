/** What is known of a message type: enough to read its fields off the wire and to write them again. */
export interface MessageSchema {
  /** The full name, without a leading dot. */
  readonly name: string;
  /** By field number; empty only until the types around it are read. */
  readonly fields: ReadonlyMap<number, FieldSchema>;
}

export interface FieldSchema {
  readonly name: string;
  readonly number: number;
  readonly kind: 'singular' | 'repeated' | 'map';
  /** Absent for messages; enums are int32, for their unknown values count too. */
  readonly scalar?: Scalar;
  /** Absent for scalars; a map's entry has the fields 1, `key`, and 2, `value`. */
  readonly message?: MessageSchema;
  /** Whether the message stands between tags, as a group of proto2 does, instead of behind its length. */
  readonly delimited: boolean;
  /** Whether being set to the default differs from being absent; in a map's entry both fields are always set. */
  readonly hasPresence: boolean;
  /** The index of the oneof that it belongs to. */
  readonly oneof?: number;
}

/** As protobufjs names what it reads and writes. */
export type Scalar = keyof typeof wireTypes;

/** The wire type of each scalar. */
export const wireTypes = {
  ...{ int32: 0, uint32: 0, sint32: 0, int64: 0, uint64: 0, sint64: 0, bool: 0 },
  ...{ fixed64: 1, sfixed64: 1, double: 1 },
  ...{ string: 2, bytes: 2 },
  ...{ fixed32: 5, sfixed32: 5, float: 5 },
} as const;

/** Scalars of lists may stand together behind one tag. */
export const isPackable = (scalar: Scalar): boolean => wireTypes[scalar] !== 2;
