/** The length of a stored record id, in bytes. Half of a SHA-256 digest identifies a record and keeps rows small. */
export const STORED_ID_BYTES = 16;

/**
 * Returns one part of a digest's input, preceded by its length (4 bytes, big-endian). Two different lists of parts
 * never give the same bytes.
 */
export function lengthPrefixed(part: string | Buffer): Buffer {
  const bytes = Buffer.from(part as string);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes.length);
  return Buffer.concat([prefix, bytes]);
}

/** Returns the prefix of a record id, which the tables store. A stored reply is bound to the whole id. */
export function storedId(id: Buffer): Buffer {
  return id.subarray(0, STORED_ID_BYTES);
}
