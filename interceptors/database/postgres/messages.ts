import { types } from 'node:util';
import type { SqlValue } from '../database.js';
import { localDateText } from '../local-date-text.js';

/** The size to which the buffer returns after a large batch, in bytes. */
const USUAL_BYTES = 16_384;
const [BIND, CLOSE, DESCRIBE, EXECUTE, PARSE, SYNC] = [0x42, 0x43, 0x44, 0x45, 0x50, 0x53] as const;
const MAX_PARAMETERS = 65_535;
const TEXT = 0;
const BINARY = 1;

/**
 * Writes messages of the extended query protocol of Postgres (version 3.0) into one buffer. Results are requested in
 * text format, because pg parses that format.
 */
export class MessageWriter {
  #buffer: Buffer = Buffer.allocUnsafe(USUAL_BYTES);
  #length = 0;

  /**
   * Closes the prepared statement of this name, if there is one, and prepares the text under the name.
   * @throws TypeError when the text contains a NUL character, which would end the text in the message
   */
  prepare(name: string, text: string): void {
    if (text.includes('\0')) throw new TypeError('a SQL text must not contain a NUL character');
    // Postgres itself replaces the statement without a name.
    if (name !== '') this.close(name);
    const start = this.#start(PARSE);
    this.#ascii(`${name}\0`);
    this.#utf8(text, Buffer.byteLength(text));
    this.#ascii('\0');
    this.#uint16(0);
    this.#end(start);
  }

  /** Closes the prepared statement of this name, if there is one. */
  close(name: string): void {
    const start = this.#start(CLOSE);
    this.#ascii(`S${name}\0`);
    this.#end(start);
  }

  /**
   * Binds the parameters to the unnamed portal.
   * @throws TypeError when a parameter has another type than `SqlValue`
   * @throws RangeError when there are more than 65,535 parameters
   */
  bind(name: string, params: readonly SqlValue[]): void {
    if (params.length > MAX_PARAMETERS)
      throw new RangeError(
        `a statement has at most ${MAX_PARAMETERS} parameters, and ${params.length} were given`,
      );
    const start = this.#start(BIND);
    this.#ascii('\0');
    this.#ascii(name);
    this.#ascii('\0');
    this.#uint16(params.length);
    for (const param of params) this.#uint16(param instanceof Uint8Array ? BINARY : TEXT);
    this.#uint16(params.length);
    for (const param of params) this.#param(param);
    this.#uint16(0);
    this.#end(start);
  }

  /** Requests the description of the rows of the unnamed portal. */
  describe(): void {
    const start = this.#start(DESCRIBE);
    this.#ascii('P\0');
    this.#end(start);
  }

  /** Executes the unnamed portal to its end. */
  execute(): void {
    const start = this.#start(EXECUTE);
    this.#ascii('\0');
    this.#int32(0);
    this.#end(start);
  }

  /** Ends the messages that the server skips together after an error. */
  sync(): void {
    this.#end(this.#start(SYNC));
  }

  /** Returns the written bytes and starts again. */
  take(): Buffer {
    const written = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    if (this.#buffer.length === USUAL_BYTES) return Buffer.from(written);
    this.#buffer = Buffer.allocUnsafe(USUAL_BYTES);
    return written;
  }

  /** Drops the written bytes. */
  clear(): void {
    this.take();
  }

  /** Starts a message. Returns the position of its length. */
  #start(type: number): number {
    this.#reserve(5);
    this.#buffer[this.#length] = type;
    const start = this.#length + 1;
    this.#length += 5;
    return start;
  }

  /** Ends a message: its length counts from the length itself. */
  #end(start: number): void {
    this.#buffer.writeInt32BE(this.#length - start, start);
  }

  #param(value: SqlValue): void {
    if (value === null || value === undefined) {
      this.#int32(-1);
    } else if (value instanceof Uint8Array) {
      this.#int32(value.byteLength);
      this.#reserve(value.byteLength);
      this.#buffer.set(value, this.#length);
      this.#length += value.byteLength;
    } else if (typeof value === 'string') {
      this.#text(value);
    } else if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
      const text = String(value);
      this.#int32(text.length);
      this.#ascii(text);
    } else if (types.isDate(value)) {
      this.#text(localDateText(value));
    } else {
      throw new TypeError('a parameter must be text, a number, a boolean, a date, bytes or null');
    }
  }

  #text(value: string): void {
    const bytes = Buffer.byteLength(value);
    this.#int32(bytes);
    this.#utf8(value, bytes);
  }

  #utf8(text: string, bytes: number): void {
    this.#reserve(bytes);
    this.#length += this.#buffer.write(text, this.#length);
  }

  #ascii(text: string): void {
    this.#reserve(text.length);
    this.#length += this.#buffer.write(text, this.#length, 'latin1');
  }

  #uint16(value: number): void {
    this.#reserve(2);
    this.#length = this.#buffer.writeUInt16BE(value, this.#length);
  }

  #int32(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(2 * needed);
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
