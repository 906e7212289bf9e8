import { crc32 } from 'node:zlib';

/** How many replies of a series are kept: as many as a producer may have under way. */
export const SEQUENCE_WINDOW_SIZE = 5;

/** What is kept of a completed sequence. */
export interface KeptReply {
  readonly fingerprint: Buffer;
  readonly reply: Buffer;
}

/** The stored window of a series is corrupt, or of a version that is not known. */
export class UnreadableWindowError extends Error {
  override name = 'UnreadableWindowError';
}

const VERSION = 1;
const HEADER_BYTES = 1 + 4 + 8;
const FINGERPRINT_BYTES = 32;
const LENGTH_BYTES = 4;

/**
 * The replies of the last sequences of an epoch, as a store keeps them: a version, a checksum, the last sequence,
 * then for each reply, the oldest first, its fingerprint, its length and itself. No bytes stand for no reply.
 */
export class SequenceWindow {
  readonly #last: bigint;
  readonly #kept: readonly KeptReply[];

  private constructor(last: bigint, kept: readonly KeptReply[]) {
    this.#last = last;
    this.#kept = kept;
  }

  /**
   * @param last the last sequence that was completed
   * @throws UnreadableWindowError
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

  /** What is kept of a sequence; undefined where it is not in the window. */
  find(sequence: bigint): KeptReply | undefined {
    const back = this.#last - sequence;
    return back < 0n || back >= this.#kept.length ? undefined : this.#kept.at(-1 - Number(back));
  }

  /** The bytes of the window that follows, when the next sequence is completed. */
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
  let at = HEADER_BYTES;
  for (let count = 0; at < stored.length; count++) {
    const start = at + FINGERPRINT_BYTES + LENGTH_BYTES;
    const end = start <= stored.length ? start + stored.readUInt32BE(start - LENGTH_BYTES) : start;
    if (end > stored.length || count === SEQUENCE_WINDOW_SIZE)
      throw new UnreadableWindowError('the window does not add up');
    yield { fingerprint: stored.subarray(at, at + FINGERPRINT_BYTES), reply: stored.subarray(start, end) };
    at = end;
  }
}

function lengthOf(reply: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(reply.length);
  return length;
}
