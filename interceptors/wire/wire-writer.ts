/** Up to this size, in bytes, a loop copies faster than a call of the runtime. */
const SHORT_COPY = 32;

/** Writes the protobuf wire format into a buffer that grows on demand. */
export class WireWriter {
  #buffer: Buffer;
  #length = 0;

  /** @param expectedBytes the probable size of the result */
  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(Math.max(expectedBytes, 64));
  }

  /** Returns the written bytes. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Writes a tag. */
  tag(number: number, wireType: number): void {
    this.varint((number << 3) | wireType, 0);
  }

  /** Writes a 64-bit number with variable length, in the minimum number of bytes. */
  varint(low: number, high: number): void {
    this.#reserve(10);
    let rest = low >>> 0;
    let upper = high >>> 0;
    while (upper > 0 || rest > 127) {
      this.#buffer[this.#length++] = (rest & 127) | 128;
      rest = ((rest >>> 7) | (upper << 25)) >>> 0;
      upper >>>= 7;
    }
    this.#buffer[this.#length++] = rest;
  }

  /** Writes an int32 or an enum field. */
  int32(number: number, value: number): void {
    this.tag(number, 0);
    this.varint(value, value >> 31);
  }

  /** Writes an int64 field. The value is a safe integer. */
  int64(number: number, value: number): void {
    this.tag(number, 0);
    this.varint(value % 2 ** 32, Math.floor(value / 2 ** 32));
  }

  /** Writes a string field. A lone surrogate is written as U+FFFD. */
  string(number: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.tag(number, 2);
    this.varint(length, 0);
    this.#reserve(length);
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** Writes a bytes field. */
  bytes(number: number, bytes: Buffer): void {
    this.tag(number, 2);
    this.varint(bytes.length, 0);
    this.copy(bytes, 0, bytes.length);
  }

  /**
   * Writes a message field.
   * @param content a function that writes the fields of the message
   */
  message(number: number, content: () => void): void {
    this.tag(number, 2);
    this.delimited(content);
  }

  /**
   * Writes a message field between two tags (a proto2 group).
   * @param content a function that writes the fields of the message
   */
  group(number: number, content: () => void): void {
    this.tag(number, 3);
    content();
    this.tag(number, 4);
  }

  /** Writes 4 bytes, little-endian. */
  fixed32(bits: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32LE(bits | 0, this.#length);
  }

  /** Copies a part of a buffer. */
  copy(buffer: Buffer, start: number, end: number): void {
    this.#reserve(end - start);
    if (end - start > SHORT_COPY) this.#length += buffer.copy(this.#buffer, this.#length, start, end);
    else for (let at = start; at < end; at++) this.#buffer[this.#length++] = buffer[at] as number;
  }

  /**
   * Writes a length prefix, followed by the content.
   * @param content a function that writes the content
   */
  delimited(content: () => void): void {
    const start = this.openDelimited(0);
    content();
    this.closeDelimited(start, 0);
  }

  /**
   * Begins a content with a length prefix. Reserves the bytes of the prefix.
   * @param expected the probable length of the content
   * @returns the start of the content, for `closeDelimited`
   */
  openDelimited(expected: number): number {
    const size = varintSize(expected);
    this.#reserve(size);
    this.#length += size;
    return this.#length;
  }

  /**
   * Ends a content and writes its length. Moves the content if the length needs more or fewer bytes than expected.
   * @param start the result of `openDelimited`
   * @param expected the same value as for `openDelimited`
   */
  closeDelimited(start: number, expected: number): void {
    const length = this.#length - start;
    const shift = varintSize(length) - varintSize(expected);
    // The prefix is written in front of the content, so it must not make the buffer grow.
    this.#reserve(Math.max(shift, 0) + 10);
    if (shift !== 0) this.#buffer.copyWithin(start + shift, start, start + length);
    this.#length = start - varintSize(expected);
    this.varint(length, 0);
    this.#length += length;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, this.#length + count));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** Returns the number of bytes of a number below 2^32 with variable length. */
function varintSize(value: number): number {
  return value < 128 ? 1 : Math.ceil((32 - Math.clz32(value)) / 7);
}
