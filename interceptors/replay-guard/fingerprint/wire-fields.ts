import { WireReader } from '../../wire/wire-reader.js';
import type { FieldLayout, MessageLayout } from './message-layout.js';
import { readNumber } from './wire-number.js';

const LENGTH_DELIMITED = 2;
/** How many numbers describe one value on the stack: the index of its field, its start and its end. */
const SIZE = 3;
/** Up to this number of values, an insertion sort is faster than a sort by counting. */
const FEW = 16;

/**
 * The values of the messages that are being read: of a message, of the message around it, and so on. A value has a byte
 * range. The range of a packed list contains several numbers. The ranges of strings and messages exclude the length
 * prefix, and the ranges of groups exclude both tags. The stack has plain numbers and no objects, because a message may
 * have millions of values.
 */
export class WireFields {
  readonly reader: WireReader;
  /**
   * Whether all decoders read the same message. False after several members of a oneof, a field with a wrong wire type,
   * or a number of unusual length.
   */
  isUnambiguous = true;
  /** How many values are on the stack. */
  size = 0;
  #stack = new Int32Array(64 * SIZE);

  constructor(buffer: Buffer) {
    this.reader = new WireReader(buffer);
  }

  /** Returns the index of the field that has the value at a position of the stack. */
  fieldAt(position: number): number {
    return this.#stack[position * SIZE] as number;
  }

  /** Returns the position after the values of the field whose first value is at a position. */
  nextField(first: number): number {
    const field = this.fieldAt(first);
    let next = first + 1;
    while (next < this.size && this.fieldAt(next) === field) next++;
    return next;
  }

  /** Returns the offset of the first byte of the value at a position of the stack. */
  startAt(position: number): number {
    return this.#stack[position * SIZE + 1] as number;
  }

  /** Returns the offset after the last byte of the value at a position of the stack. */
  endAt(position: number): number {
    return this.#stack[position * SIZE + 2] as number;
  }

  /** Adds the value of a message with a byte range. */
  push(field: number, start: number, end: number): void {
    if (SIZE * this.size === this.#stack.length) this.#grow();
    this.#set(this.size++, field, start, end);
  }

  /**
   * Reads the fields of one message, but not of nested messages, and adds their values to the stack in the order of the
   * field numbers. Values of one field keep their order. The message may be split into several parts, which are values on
   * the stack. If several members of a oneof are set, only the last member is kept. Unknown fields are ignored.
   * @param from the position of the first part
   * @param to the position after the last part
   * @throws Error if the bytes are malformed
   */
  read(layout: MessageLayout, from: number, to: number): void {
    const base = this.size;
    let [tag, last, members] = [0, 0, 0];
    let isSorted = true;
    let field: FieldLayout | undefined;
    const { reader } = this;
    for (let part = from; part < to; part++) {
      reader.moveTo(this.startAt(part), this.endAt(part));
      while (!reader.isDone) {
        const next = reader.tag();
        if (next !== tag) field = layout.find(next >>> 3);
        tag = next;
        if (field && this.#value(field, tag & 7)) {
          if (field.index < last) isSorted = false;
          if (field.oneof !== undefined) members++;
          last = field.index;
        } else {
          // A known field with a wrong wire type is treated as unknown.
          if (field) this.isUnambiguous = false;
          reader.skip(tag);
        }
      }
    }
    if (members > 1) this.#removeRivals(layout, base);
    if (!isSorted) this.#sort(layout, base);
  }

  /** Reads the value after a tag and adds it. Returns false if the wire type is wrong for the field. */
  #value(field: FieldLayout, wireType: number): boolean {
    const { reader } = this;
    if (wireType === field.wireType) {
      if (wireType === LENGTH_DELIMITED) {
        const length = reader.length();
        const start = reader.skipBytes(length);
        this.push(field.index, start, start + length);
        return true;
      }
      const start = reader.position;
      if (field.schema.delimited) this.push(field.index, start, reader.skipGroup(field.schema.number));
      else {
        this.#number(field);
        this.push(field.index, start, reader.position);
      }
      return true;
    }
    if (wireType !== LENGTH_DELIMITED || !field.mayBePacked) return false;
    const length = reader.length();
    const start = reader.position;
    while (reader.position < start + length) this.#number(field);
    if (reader.position > start + length) throw new Error('a packed list ends inside a number');
    this.push(field.index, start, reader.position);
    return true;
  }

  #number({ wireType, isNarrow, schema }: FieldLayout): void {
    const size = readNumber(this.reader, wireType);
    if (!isNarrow || size === 1) return;
    const hasOnlyHighBits = schema.scalar === 'bool' && this.reader.low === 0 && this.reader.high !== 0;
    if ((size > 5 && size < 10) || hasOnlyHighBits) this.isUnambiguous = false;
  }

  /** Keeps the values of the last member of each oneof, back to the last value of another member. */
  #removeRivals({ fields, oneofs }: MessageLayout, base: number): void {
    const lastMembers = new Int32Array(oneofs).fill(-1);
    const ENDED = -2;
    let kept = this.size;
    for (let position = this.size - 1; position >= base; position--) {
      const index = this.fieldAt(position);
      const oneof = fields[index]?.oneof;
      if (oneof !== undefined) {
        if (lastMembers[oneof] === -1) lastMembers[oneof] = index;
        if (lastMembers[oneof] !== index) {
          lastMembers[oneof] = ENDED;
          this.isUnambiguous = false;
          continue;
        }
      }
      kept--;
      if (kept !== position) this.#move(position, kept);
    }
    if (kept === base) return;
    this.#stack.copyWithin(base * SIZE, kept * SIZE, this.size * SIZE);
    this.size -= kept - base;
  }

  #sort({ fields }: MessageLayout, base: number): void {
    if (this.size - base <= FEW) this.#insertionSort(base);
    else this.#countingSort(fields.length, base);
  }

  #insertionSort(base: number): void {
    for (let next = base + 1; next < this.size; next++) {
      const [field, start, end] = [this.fieldAt(next), this.startAt(next), this.endAt(next)];
      let position = next;
      for (; position > base && this.fieldAt(position - 1) > field; position--)
        this.#move(position - 1, position);
      this.#set(position, field, start, end);
    }
  }

  #countingSort(fields: number, base: number): void {
    const positions = new Int32Array(fields + 1);
    for (let position = base; position < this.size; position++) {
      const next = this.fieldAt(position) + 1;
      positions[next] = (positions[next] as number) + 1;
    }
    for (let field = 1; field <= fields; field++)
      positions[field] = (positions[field] as number) + (positions[field - 1] as number);
    const unsorted = this.#stack.slice(base * SIZE, this.size * SIZE);
    for (let at = 0; at < unsorted.length; at += SIZE) {
      const field = unsorted[at] as number;
      const position = positions[field] as number;
      positions[field] = position + 1;
      this.#set(base + position, field, unsorted[at + 1] as number, unsorted[at + 2] as number);
    }
  }

  #set(position: number, field: number, start: number, end: number): void {
    this.#stack[position * SIZE] = field;
    this.#stack[position * SIZE + 1] = start;
    this.#stack[position * SIZE + 2] = end;
  }

  #move(from: number, to: number): void {
    this.#set(to, this.fieldAt(from), this.startAt(from), this.endAt(from));
  }

  #grow(): void {
    const larger = new Int32Array(2 * this.#stack.length);
    larger.set(this.#stack);
    this.#stack = larger;
  }
}
