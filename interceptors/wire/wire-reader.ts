const GROUP_END = 4;
/** The maximum nesting depth of messages and of unknown groups. protobuf's own parsers have the same limit. */
const MAX_DEPTH = 100;

/**
 * Reads the protobuf wire format from a part of a buffer. Follows the specification strictly. In contrast, protobufjs
 * reads a number of 6 to 9 bytes as a number of 10 bytes. Numbers are stored in `low` and `high`, so that reading
 * creates no objects.
 */
export class WireReader {
  /** The lower 32 bits of the last number. */
  low = 0;
  /** The upper 32 bits of the last number. */
  high = 0;
  readonly #buffer: Buffer;
  readonly #depth: number;
  #position: number;
  #end: number;
  /**
   * For each start of a nested group that was skipped, the offset of its end tag. Undefined before the first such group.
   */
  #groupEnds: Uint32Array | undefined;

  /** @param depth the number of messages that contain this part */
  constructor(buffer: Buffer, start = 0, end = buffer.length, depth = 0) {
    this.#buffer = buffer;
    this.#position = start;
    this.#end = end;
    this.#depth = depth;
  }

  /** The offset of the next byte in the buffer. */
  get position(): number {
    return this.#position;
  }

  /** Continues with another part of the buffer. */
  moveTo(start: number, end: number): void {
    this.#position = start;
    this.#end = end;
  }

  /** Whether all bytes are read. */
  get isDone(): boolean {
    return this.#position === this.#end;
  }

  /**
   * Reads a tag: the field number in the upper bits, the wire type in the lowest three bits.
   * @throws Error if the field number is 0, or if the tag is longer than 5 bytes
   */
  tag(): number {
    const tag = this.length();
    if (tag < 8) throw new Error('the field number is 0');
    return tag;
  }

  /**
   * Reads a variable-length number.
   * @returns the number of bytes, from 1 to 10
   */
  varint(): number {
    this.low = 0;
    this.high = 0;
    if (this.#position < this.#end) {
      const first = this.#buffer[this.#position] as number;
      if (first < 128) {
        this.low = first;
        this.#position++;
        return 1;
      }
    }
    for (let size = 1; size <= 10; size++) {
      const byte = this.#byte();
      const shift = 7 * (size - 1);
      if (shift < 32) this.low |= (byte & 127) << shift;
      if (shift >= 32) this.high |= (byte & 127) << (shift - 32);
      else if (shift > 25) this.high |= (byte & 127) >>> (32 - shift);
      if (byte < 128) return size;
    }
    throw new Error('a number is longer than 10 bytes');
  }

  /** Reads a number of 4 bytes. */
  fixed32(): void {
    this.low = this.#buffer.readInt32LE(this.skipBytes(4));
    this.high = 0;
  }

  /** Reads a number of 8 bytes. */
  fixed64(): void {
    const start = this.skipBytes(8);
    this.low = this.#buffer.readInt32LE(start);
    this.high = this.#buffer.readInt32LE(start + 4);
  }

  /**
   * Reads the length prefix of a string, of bytes, or of a message.
   * @throws Error if the prefix is longer than 5 bytes
   */
  length(): number {
    const size = this.varint();
    if (size > 5 || this.high !== 0) throw new Error('a tag or a length is too long');
    return this.low >>> 0;
  }

  /** Reads an int32 or the number of an enum value. */
  int32(): number {
    this.varint();
    return this.low;
  }

  /** Reads a string with its length prefix. Malformed UTF-8 is read as U+FFFD. */
  string(): string {
    const length = this.length();
    if (length === 0) return '';
    const start = this.skipBytes(length);
    return this.#buffer.toString('utf8', start, start + length);
  }

  /** Reads bytes with their length prefix. The result shares the memory of the buffer. */
  bytes(): Buffer {
    const length = this.length();
    const start = this.skipBytes(length);
    return this.#buffer.subarray(start, start + length);
  }

  /**
   * Reads the length prefix of a message.
   * @returns a reader of the message
   * @throws Error if messages are nested too deeply
   */
  message(): WireReader {
    if (this.#depth === MAX_DEPTH) throw new Error('messages are nested too deeply');
    const length = this.length();
    const start = this.skipBytes(length);
    return new WireReader(this.#buffer, start, start + length, this.#depth + 1);
  }

  /**
   * Skips bytes.
   * @returns the offset of the first skipped byte
   */
  skipBytes(count: number): number {
    const start = this.#position;
    if (start + count > this.#end) throw new Error('the message is truncated');
    this.#position = start + count;
    return start;
  }

  /**
   * Skips a group after its start tag. The groups inside are scanned once, although each of them may be skipped again
   * later, when its enclosing group is read.
   * @param number the field number of the group
   * @returns the offset of the end tag
   */
  skipGroup(number: number, depth = 0): number {
    const start = this.#position;
    const known = this.#groupEnds?.[start];
    if (known) this.#position = known;
    for (;;) {
      const end = this.#position;
      const tag = this.tag();
      if ((tag & 7) !== GROUP_END) {
        this.skip(tag, depth + 1);
      } else {
        if (tag >>> 3 !== number) throw new Error('the end tag of a group has another field number');
        if (depth > 0) this.#recordGroup(start, end);
        return end;
      }
    }
  }

  #recordGroup(start: number, end: number): void {
    this.#groupEnds ??= new Uint32Array(this.#buffer.length);
    this.#groupEnds[start] = end;
  }

  /** Skips the value after a tag. */
  skip(tag: number, depth = 0): void {
    if (depth > MAX_DEPTH) throw new Error('groups are nested too deeply');
    const wireType = tag & 7;
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.skipBytes(8);
    else if (wireType === 2) this.skipBytes(this.length());
    else if (wireType === 3) this.skipGroup(tag >>> 3, depth);
    else if (wireType === 5) this.skipBytes(4);
    else throw new Error(`wire type ${wireType} is not valid here`);
  }

  #byte(): number {
    if (this.#position >= this.#end) throw new Error('the message is truncated');
    return this.#buffer[this.#position++] as number;
  }
}
