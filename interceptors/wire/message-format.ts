import { WireReader } from './wire-reader.js';

/** One field of a message. */
export interface Field<T> {
  /** The tags that the field may have: the field number in the upper bits, the wire type in the lowest three bits. */
  readonly tags: readonly number[];
  /**
   * Reads a value after its tag.
   * @param before the value that the field has so far
   * @returns the value that the field has now
   */
  read(reader: WireReader, before: T, tag: number): T;
  /** Returns the value of an absent field. */
  absent(): T;
}

/** The field of each property of a message. */
export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/**
 * Decodes messages of one type by a table of the fields. In contrast to protobufjs, it generates no code, so that it
 * also works in a process that forbids code generation from strings. Follows the specification: unknown fields and
 * fields with a wrong wire type are skipped, a repeated scalar is replaced, a repeated message is merged.
 */
export class MessageFormat<T extends object> {
  readonly #fields: readonly (readonly [string, Field<unknown>])[];
  readonly #byTag = new Map<number, readonly [string, Field<unknown>]>();

  /** @param fields the fields that are read */
  constructor(fields: Fields<T>) {
    this.#fields = Object.entries<Field<unknown>>(fields);
    for (const field of this.#fields) for (const tag of field[1].tags) this.#byTag.set(tag, field);
  }

  /**
   * Decodes a message. The byte values of the result share the memory of the bytes.
   * @param onUnknown receives the number of each unknown field of the message itself; the field is then skipped
   * @throws Error if the bytes are malformed
   */
  decode(bytes: Uint8Array, onUnknown?: (number: number) => void): T {
    const buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.read(new WireReader(buffer), undefined, onUnknown);
  }

  /**
   * Reads all fields of a message.
   * @param before a message of this type, into which the fields are merged
   * @throws Error if the bytes are malformed
   */
  read(reader: WireReader, before?: T, onUnknown?: (number: number) => void): T {
    const message = (before ?? this.#absent()) as Record<string, unknown>;
    while (!reader.isDone) {
      const tag = reader.tag();
      const found = this.#byTag.get(tag);
      if (found) {
        const [name, field] = found;
        message[name] = field.read(reader, message[name], tag);
      } else {
        onUnknown?.(tag >>> 3);
        reader.skip(tag);
      }
    }
    return message as T;
  }

  #absent(): Record<string, unknown> {
    const message: Record<string, unknown> = {};
    for (const [name, field] of this.#fields) {
      const value = field.absent();
      // A message has no key for an optional field that is absent.
      if (value !== undefined) message[name] = value;
    }
    return message;
  }
}
