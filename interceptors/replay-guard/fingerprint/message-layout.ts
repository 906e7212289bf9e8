import {
  type FieldSchema,
  isPackable,
  type MessageSchema,
  wireTypes,
} from '../descriptors/message-schema.js';

const LENGTH_DELIMITED = 2;
const GROUP_START = 3;

/** A field of a message, prepared for reading. */
export class FieldLayout {
  readonly schema: FieldSchema;
  /** The position among the fields of the message, in the order of the field numbers. */
  readonly index: number;
  /** The wire type of one value. */
  readonly wireType: number;
  /** Whether the field is a list that may be packed. */
  readonly mayBePacked: boolean;
  /** Whether a number of 32 bits has a variable length. Decoders disagree on some encodings of such numbers. */
  readonly isNarrow: boolean;
  /** The index of the field's oneof. Undefined if the field has no rivals: the oneof of an optional field has one member. */
  readonly oneof: number | undefined;
  #content: MessageLayout | undefined;

  constructor(schema: FieldSchema, index: number, oneof: number | undefined) {
    const { scalar, kind, delimited } = schema;
    this.schema = schema;
    this.index = index;
    this.wireType = scalar ? wireTypes[scalar] : delimited ? GROUP_START : LENGTH_DELIMITED;
    this.mayBePacked = kind === 'repeated' && scalar !== undefined && isPackable(scalar);
    this.isNarrow = scalar !== undefined && wireTypes[scalar] === 0 && !scalar.endsWith('64');
    this.oneof = oneof;
  }

  /** The layout of a message field. */
  get content(): MessageLayout {
    this.#content ??= layoutOf(this.schema.message as MessageSchema);
    return this.#content;
  }
}

/** The fields of a message type, prepared for reading. */
export class MessageLayout {
  /** The fields in the order of their numbers. */
  readonly fields: readonly FieldLayout[];
  /** How many oneofs the message has. */
  readonly oneofs: number;
  readonly #byNumber: ReadonlyMap<number, FieldLayout>;

  constructor(schema: MessageSchema) {
    const schemas = [...schema.fields.values()].sort((one, other) => one.number - other.number);
    const members = schemas.flatMap(({ oneof }) => (oneof === undefined ? [] : [oneof]));
    const hasRivals = ({ oneof }: FieldSchema) => members.filter((other) => other === oneof).length > 1;
    this.fields = schemas.map(
      (field, index) => new FieldLayout(field, index, hasRivals(field) ? field.oneof : undefined),
    );
    this.oneofs = 1 + Math.max(-1, ...members);
    this.#byNumber = new Map(this.fields.map((field) => [field.schema.number, field]));
  }

  /** Returns the field with a number. Returns undefined if the schema has no such field. */
  find(number: number): FieldLayout | undefined {
    return this.#byNumber.get(number);
  }
}

const layouts = new WeakMap<MessageSchema, MessageLayout>();

/** Returns the layout of a message type. */
export function layoutOf(schema: MessageSchema): MessageLayout {
  const layout = layouts.get(schema) ?? new MessageLayout(schema);
  layouts.set(schema, layout);
  return layout;
}
