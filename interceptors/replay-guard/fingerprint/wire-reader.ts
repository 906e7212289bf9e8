const GROUP_END = 4;
/** How deep unknown groups may be nested, as in protobuf's own parsers. */
const DEEPEST = 100;

/**
 * Reads a part of a buffer in the wire format, to the letter: protobufjs takes a number of 6 to 9 bytes for one
 * of 10. Numbers are left in `low` and `high`, so that reading millions of them makes no objects.
 */
export class WireReader {
  /** The lower 32 bits of the number that was read last. */
  low = 0;
  /** Its upper ones. */
  high = 0;
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  get position(): number {
    return this.#at;
  }

  get isDone(): boolean {
    return this.#at === this.#end;
  }

  /** The field's number above three bits for its wire type. */
  tag(): number {
    const tag = this.length();
    if (tag < 8) throw new Error('a field has no number');
    return tag;
  }

  /** @returns in how many bytes it stands */
  varint(): number {
    this.low = 0;
    this.high = 0;
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

  fixed32(): void {
    this.low = this.#buffer.readInt32LE(this.skipBytes(4));
    this.high = 0;
  }

  fixed64(): void {
    const at = this.skipBytes(8);
    this.low = this.#buffer.readInt32LE(at);
    this.high = this.#buffer.readInt32LE(at + 4);
  }

  /** Of a string, bytes or message that follows. */
  length(): number {
    const size = this.varint();
    if (size > 5 || this.high !== 0) throw new Error('a tag or a length is too long');
    return this.low >>> 0;
  }

  /** @returns where they begin */
  skipBytes(count: number): number {
    const start = this.#at;
    if (start + count > this.#end) throw new Error('the message is cut off');
    this.#at = start + count;
    return start;
  }

  /** Passes over a group of which the first tag has been read. @returns where its last tag begins */
  skipGroup(number: number, depth = 0): number {
    for (;;) {
      const end = this.#at;
      const tag = this.tag();
      if ((tag & 7) !== GROUP_END) {
        this.skip(tag, depth + 1);
      } else {
        if (tag >>> 3 !== number) throw new Error('a group ends that did not begin');
        return end;
      }
    }
  }

  /** Passes over a field of which the tag has been read. */
  skip(tag: number, depth = 0): void {
    if (depth > DEEPEST) throw new Error('groups are nested too deep');
    const wireType = tag & 7;
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.skipBytes(8);
    else if (wireType === 2) this.skipBytes(this.length());
    else if (wireType === 3) this.skipGroup(tag >>> 3, depth);
    else if (wireType === 5) this.skipBytes(4);
    else throw new Error(`there is no wire type ${wireType}`);
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new Error('the message is cut off');
    return this.#buffer[this.#at++] as number;
  }
}
