/** The schema of a message type: the information that is needed to read and write its fields. */
export interface MessageSchema {
  /** The full name, without a leading dot. */
  readonly name: string;
  /** The fields by number. The map is filled after the schema is created, because types may be recursive. */
  readonly fields: ReadonlyMap<number, FieldSchema>;
}

/** The schema of one field. */
export interface FieldSchema {
  readonly name: string;
  readonly number: number;
  readonly kind: 'singular' | 'repeated' | 'map';
  /** The type of a scalar field; absent for messages. An enum is an int32, so that unknown values are kept. */
  readonly scalar?: Scalar;
  /** The type of a message field; absent for scalars. A map entry has the fields 1 (`key`) and 2 (`value`). */
  readonly message?: MessageSchema;
  /** Whether the message is encoded between two tags (a proto2 group) instead of after its length. */
  readonly delimited: boolean;
  /** Whether a field with its default value differs from an absent field. True for both fields of a map entry. */
  readonly hasPresence: boolean;
  /** The index of the field's oneof in the message. */
  readonly oneof?: number;
}

/** The scalar types, under the names of the .proto language. */
export type Scalar = keyof typeof wireTypes;

/** The wire type of each scalar type. */
export const wireTypes = {
  ...{ int32: 0, uint32: 0, sint32: 0, int64: 0, uint64: 0, sint64: 0, bool: 0 },
  ...{ fixed64: 1, sfixed64: 1, double: 1 },
  ...{ string: 2, bytes: 2 },
  ...{ fixed32: 5, sfixed32: 5, float: 5 },
} as const;

/** Whether a list of this type may be packed. A packed list has all values after one tag. */
export const isPackable = (scalar: Scalar): boolean => wireTypes[scalar] !== 2;
