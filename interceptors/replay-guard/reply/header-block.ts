import type { Metadata, MetadataValue } from '@grpc/grpc-js';

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
 * Names that a handler must not set. HTTP/2 forbids the names that describe the connection (RFC 9113, section 8.2.2), and
 * Node refuses to send them. Clients end a call whose `content-length` is wrong. The `grpc-` names would replace the
 * status or describe an encoding that the messages do not have.
 */
const forbiddenNames: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te', 'http2-settings'],
  ...['content-length', 'grpc-status', 'grpc-message', 'grpc-encoding'],
]);

/** Names that may have one value only. Node refuses to send several (`kSingleValueFields` in lib/internal/http2/util.js). */
const singleValueNames: ReadonlySet<string> = new Set([
  ...['access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age'],
  ...['authorization', 'content-encoding', 'content-language', 'content-location', 'content-md5'],
  ...['content-range', 'content-type', 'date', 'dnt', 'etag', 'expires', 'from', 'host', 'if-match'],
  ...['if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'location'],
  ...['max-forwards', 'proxy-authorization', 'range', 'referer', 'retry-after', 'tk'],
  ...['upgrade-insecure-requests', 'user-agent', 'x-content-type-options'],
]);

const legalName = /^[0-9a-z_.-]+$/;
const legalText = /^[ -~]*$/;

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
