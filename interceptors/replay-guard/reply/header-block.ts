import type { Metadata, MetadataValue } from '@grpc/grpc-js';
import { connectionNames, legalName, legalText, singleValueNames } from '../../protocol/entry-names.js';

/** The failure of a handler whose answer cannot be serialized or cannot be sent over HTTP/2. */
export class ResponseError extends Error {
  override name = 'ResponseError';
}

/** The size of the entries that a handler adds to a header block. */
export interface BlockSize {
  /** The size as HTTP/2 counts it: for each entry the length of name and value, and 32 bytes. */
  readonly bytes: number;
  readonly entries: number;
}

/** The bytes that HTTP/2 counts for an entry besides its name and value (RFC 9113, section 6.5.2). */
const ENTRY_BYTES = 32;

/**
 * Names that a handler must not set. Node refuses to send the names that describe the connection. Clients end a call
 * whose `content-length` is wrong. The `grpc-` names would replace the status or describe an encoding that the messages
 * do not have.
 */
const forbiddenNames: ReadonlySet<string> = new Set([
  ...connectionNames,
  ...['content-length', 'grpc-status', 'grpc-message', 'grpc-encoding'],
]);

/**
 * Measures metadata as HTTP/2 carries it. Binary values count in base64.
 * @throws ResponseError if HTTP/2 or gRPC cannot carry an entry; the message names the entry
 */
export function measureBlock(metadata: Metadata): BlockSize {
  let bytes = 0;
  let entries = 0;
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    assertName(name, values);
    for (const value of values) bytes += ENTRY_BYTES + name.length + valueBytes(name, value);
    entries += values.length;
  }
  return { bytes, entries };
}

/**
 * Returns the length of a status message in `grpc-message`, where it is percent-encoded.
 * @throws ResponseError if UTF-8 cannot carry the text, for example because an emoji was cut in half
 */
export function statusMessageBytes(details: string): number {
  try {
    return encodeURI(details).length;
  } catch (cause) {
    throw new ResponseError('the status message is not valid Unicode', { cause });
  }
}

function assertName(name: string, values: readonly MetadataValue[]): void {
  if (!legalName.test(name) || forbiddenNames.has(name))
    throw new ResponseError(`metadata ${name} cannot be sent over HTTP/2`);
  if (values.length > 1 && singleValueNames.has(name))
    throw new ResponseError(`metadata ${name} must have a single value`);
  if (name === 'content-type' && !String(values[0]).startsWith('application/grpc'))
    throw new ResponseError('metadata content-type must begin with application/grpc');
}

function valueBytes(name: string, value: unknown): number {
  if (name.endsWith('-bin')) {
    if (!Buffer.isBuffer(value)) throw new ResponseError(`metadata ${name} must be a Buffer`);
    return Math.ceil(value.length / 3) * 4;
  }
  if (typeof value !== 'string' || !legalText.test(value))
    throw new ResponseError(`metadata ${name} must be printable ASCII text`);
  return value.length;
}
