import { crc32 } from 'node:zlib';
import { CodedError } from '../../context/coded-error.js';

/** How many replies of a series are kept. A producer may have the same number of calls in flight. */
export const SEQUENCE_WINDOW_SIZE = 5;

/** The stored result of a completed sequence. */
export interface KeptReply {
  readonly fingerprint: Buffer;
  readonly reply: Buffer;
}

/** The stored window of a series is corrupt or has an unknown version. */
export class UnreadableWindowError extends CodedError {
  override name = 'UnreadableWindowError';
  static override readonly code: string = 'REPLAY_GUARD_UNREADABLE_WINDOW';
}

const VERSION = 1;
const HEADER_BYTES = 1 + 4 + 8;
const FINGERPRINT_BYTES = 32;
const LENGTH_BYTES = 4;

/**
 * The replies of the last sequences of an epoch, in their stored form. The form has a version (1 byte), a CRC-32 of
 * the rest (4 bytes) and the last sequence (8 bytes). The replies follow, the oldest first: fingerprint (32 bytes),
 * length (4 bytes) and bytes of each reply. Numbers are big-endian. An empty window is stored as no bytes.
 */
export class SequenceWindow {
  readonly #last: bigint;
  readonly #kept: readonly KeptReply[];

  private constructor(last: bigint, kept: readonly KeptReply[]) {
    this.#last = last;
    this.#kept = kept;
  }

  /**
   * Reads a stored window.
   * @param last the last completed sequence
   * @throws UnreadableWindowError when the window is corrupt, has an unknown version, or belongs to another sequence
   */
  static read(stored: Buffer, last: bigint): SequenceWindow {
    if (stored.length === 0) return new SequenceWindow(last, []);
    const isSound =
      stored.length >= HEADER_BYTES &&
      stored.readUInt8() === VERSION &&
      stored.readUInt32BE(1) === crc32(stored.subarray(5)) &&
      stored.readBigUInt64BE(5) === last;
    if (!isSound) throw new UnreadableWindowError('the window is corrupt or of an unknown version');
    return new SequenceWindow(last, [...entries(stored)]);
  }

  /** Returns the stored result of a sequence, or undefined if the window does not contain the sequence. */
  find(sequence: bigint): KeptReply | undefined {
    const distance = this.#last - sequence;
    return distance < 0n || distance >= this.#kept.length ? undefined : this.#kept.at(-1 - Number(distance));
  }

  /** Returns the stored form of the window after the next sequence, `sequence`, has completed with `next`. */
  with(sequence: bigint, next: KeptReply): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt8(VERSION);
    header.writeBigUInt64BE(sequence, 5);
    const kept = [...this.#kept, next].slice(-SEQUENCE_WINDOW_SIZE);
    const stored = Buffer.concat([
      header,
      ...kept.flatMap(({ fingerprint, reply }) => [fingerprint, lengthOf(reply), reply]),
    ]);
    stored.writeUInt32BE(crc32(stored.subarray(5)), 1);
    return stored;
  }
}

function* entries(stored: Buffer): Generator<KeptReply> {
  let offset = HEADER_BYTES;
  for (let count = 0; offset < stored.length; count++) {
    const start = offset + FINGERPRINT_BYTES + LENGTH_BYTES;
    const end = start <= stored.length ? start + stored.readUInt32BE(start - LENGTH_BYTES) : start;
    if (end > stored.length || count === SEQUENCE_WINDOW_SIZE)
      throw new UnreadableWindowError('the lengths in the window do not match its size');
    yield {
      fingerprint: stored.subarray(offset, offset + FINGERPRINT_BYTES),
      reply: stored.subarray(start, end),
    };
    offset = end;
  }
}

function lengthOf(reply: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(reply.length);
  return length;
}
