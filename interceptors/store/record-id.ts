/** The length of a stored record id, in bytes: half of a SHA-256 digest tells records apart and keeps rows small. */
const STORED_ID_BYTES = 16;

/** A part of a digest with its length before it (4 bytes, big-endian): no two lists of parts give the same bytes. */
export function lengthPrefixed(part: string | Buffer): Buffer {
  const bytes = Buffer.from(part as string);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes.length);
  return Buffer.concat([prefix, bytes]);
}

/** The part of an id that a table keeps. A reply is bound to the whole id. */
export function storedId(id: Buffer): Buffer {
  return id.subarray(0, STORED_ID_BYTES);
}
