import { createHash, createHmac } from 'node:crypto';

/** Gives the 32 bytes under which a key is stored: the raw key is never kept. */
export type RecordIdentifier = (scope: string, method: string, key: string) => Buffer;

/**
 * SHA-256 over the length-prefixed parts; HMAC-SHA-256 where there is a pepper, so that who reads the
 * database cannot test guesses of keys.
 */
export function recordIdentifier(pepper?: string | Buffer): RecordIdentifier {
  return (...parts) => {
    const hash = pepper === undefined ? createHash('sha256') : createHmac('sha256', pepper);
    for (const part of parts) hash.update(lengthPrefixed(part));
    return hash.digest();
  };
}

/** No two lists of parts give the same bytes. */
export function lengthPrefixed(part: string | Buffer): Buffer {
  const bytes = Buffer.from(part as string);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes.length);
  return Buffer.concat([prefix, bytes]);
}
