import type { Field, MessageFormat } from './message-format.js';
import type { WireReader } from './wire-reader.js';

const VARINT = 0;
const LENGTH_DELIMITED = 2;

const tagOf = (number: number, wireType: number): number => (number << 3) | wireType;

function scalar<T>(number: number, wireType: number, absent: T, read: (reader: WireReader) => T): Field<T> {
  return { tags: [tagOf(number, wireType)], read, absent: () => absent };
}

/** Creates a string field. Absent: the empty string. */
export const string = (number: number): Field<string> =>
  scalar(number, LENGTH_DELIMITED, '', (reader) => reader.string());

/** Creates a bytes field. Absent: no bytes. */
export const bytes = (number: number): Field<Buffer> =>
  scalar(number, LENGTH_DELIMITED, Buffer.alloc(0), (reader) => reader.bytes());

/** Creates an int32 or an enum field. Absent: 0. */
export const int32 = (number: number): Field<number> => scalar(number, VARINT, 0, (reader) => reader.int32());

/** Creates an int64 field. A value beyond the safe integers is rounded. Absent: 0. */
export const int64 = (number: number): Field<number> =>
  scalar(number, VARINT, 0, (reader) => {
    reader.varint();
    return reader.high * 2 ** 32 + (reader.low >>> 0);
  });

/** Creates a bool field. Absent: false. */
export const bool = (number: number): Field<boolean> =>
  scalar(number, VARINT, false, (reader) => {
    reader.varint();
    return (reader.low | reader.high) !== 0;
  });

/**
 * Creates a message field. Absent: undefined.
 * @param format returns the format of the message; a function, because a message may contain its own type
 */
export const message = <T extends object>(
  number: number,
  format: () => MessageFormat<T>,
): Field<T | undefined> => ({
  tags: [tagOf(number, LENGTH_DELIMITED)],
  read: (reader, before) => format().read(reader.message(), before),
  absent: () => undefined,
});

/** Makes a field undefined when it is absent, so that absence differs from the default value. */
export const optional = <T>({ tags, read, absent }: Field<T>): Field<T | undefined> => ({
  tags,
  read: (reader, before, tag) => read(reader, before ?? absent(), tag),
  absent: () => undefined,
});

/** Creates a list. Numbers may be packed: all values after one tag and one length. Absent: the empty list. */
export function repeated<T>({ tags, read, absent }: Field<T>): Field<readonly NonNullable<T>[]> {
  const packedTags = tags.filter((tag) => (tag & 7) === VARINT).map((tag) => tag | LENGTH_DELIMITED);
  return {
    tags: [...tags, ...packedTags],
    read(reader, before, tag) {
      const values = before as T[];
      if (!packedTags.includes(tag)) {
        values.push(read(reader, absent(), tag));
        return before;
      }
      const list = reader.message();
      while (!list.isDone) values.push(read(list, absent(), tag));
      return before;
    },
    absent: () => [],
  };
}
