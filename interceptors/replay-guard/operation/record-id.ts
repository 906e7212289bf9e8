import { createHash, createHmac } from 'node:crypto';
import { lengthPrefixed } from '../../store/record-id.js';

/** A secret that keys are hashed with at rest, and those that were in use before it. */
export interface Peppers {
  readonly current: string | Buffer;
  /** Records made under these are still found, and none is made any more; null stands for no pepper. */
  readonly previous?: readonly (string | Buffer | null)[];
}

/** The 32 bytes under which a key is stored: the raw key is never kept. */
export interface RecordIds {
  readonly current: Buffer;
  /** Under which it may have been stored before. */
  readonly previous: readonly Buffer[];
}

/** @param parts what names the record: the scope, the method and the key */
export type RecordIdentifier = (...parts: readonly string[]) => RecordIds;

/**
 * SHA-256 over the length-prefixed parts; HMAC-SHA-256 where there is a pepper, so that who reads the
 * database cannot test guesses of keys.
 * @throws TypeError a pepper is empty
 */
export function recordIdentifier(pepper?: string | Buffer | Peppers): RecordIdentifier {
  const { current, previous = [] } = isRotated(pepper) ? pepper : { current: pepper };
  if ([current, ...previous].some((secret) => secret?.length === 0))
    throw new TypeError('a pepper must not be empty');
  return (...parts) => ({
    current: digest(current, parts),
    previous: previous.map((older) => digest(older ?? undefined, parts)),
  });
}

function isRotated(pepper: string | Buffer | Peppers | undefined): pepper is Peppers {
  return typeof pepper === 'object' && !Buffer.isBuffer(pepper);
}

function digest(pepper: string | Buffer | undefined, parts: readonly string[]): Buffer {
  const hash = pepper === undefined ? createHash('sha256') : createHmac('sha256', pepper);
  for (const part of parts) hash.update(lengthPrefixed(part));
  return hash.digest();
}
