import { createHash } from 'node:crypto';
import { canonicalBytes } from './canonical.js';
import { canonicalStructure } from './canonical-structure.js';
import { requestTypeOf } from './request-type.js';

/** 32 bytes, equal for equal requests. Taken once, before a handler can touch the message. */
export type Fingerprinter = (message: unknown, wire: Uint8Array) => Buffer;

/** Reads the request with its schema where the definition carries one, else as the object it was decoded to. */
export function fingerprinter(path: string, definition: unknown): Fingerprinter {
  const type = requestTypeOf(path, definition);
  if (type) return (_message, wire) => sha256(canonicalBytes(type, wire));
  return (message) => sha256(canonicalStructure(message));
}

function sha256(content: Uint8Array | string): Buffer {
  return createHash('sha256').update(content).digest();
}
