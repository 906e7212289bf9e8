import { hash } from 'node:crypto';

/** The length of a stored record id, in bytes. Half of a SHA-256 digest identifies a record and keeps rows small. */
export const STORED_ID_BYTES = 16;
const LENGTH_BYTES = 4;

/** Returns the SHA-256 digest of the content, 32 bytes. */
export function sha256(content: string | Uint8Array): Buffer {
  // Node returns a digest as a text in a third of the time of a digest as a Buffer.
  return Buffer.from(hash('sha256', content, 'binary'), 'binary');
}

/**
 * Returns the input of a digest: each part in UTF-8, preceded by its length (4 bytes, big-endian). Two different lists
 * of parts never give the same bytes.
 * @throws TypeError when a part has an unpaired surrogate, because UTF-8 has the same bytes for all of them
 */
export function lengthPrefixed(...parts: readonly string[]): Buffer {
  let size = 0;
  for (const part of parts) {
    if (/\p{Surrogate}/u.test(part)) throw new TypeError('a text must not have an unpaired surrogate');
    size += LENGTH_BYTES + Buffer.byteLength(part);
  }
  const bytes = Buffer.allocUnsafe(size);
  let end = 0;
  for (const part of parts) {
    const start = end + LENGTH_BYTES;
    end = start + bytes.write(part, start);
    bytes.writeUInt32BE(end - start, start - LENGTH_BYTES);
  }
  return bytes;
}

/** Returns the prefix of a record id, which the tables store. A stored reply is bound to the whole id. */
export function storedId(id: Buffer): Buffer {
  return id.subarray(0, STORED_ID_BYTES);
}
