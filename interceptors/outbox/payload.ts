/** A payload in its stored form. */
export interface StoredPayload {
  readonly format: 'json' | 'bytes';
  readonly bytes: Buffer;
}

/**
 * Encodes a payload. A Uint8Array is stored unchanged. Any other value is stored as JSON.
 * @throws TypeError when the payload cannot be written as JSON
 * @throws RangeError when the encoded payload is larger than `maxBytes`
 */
export function encodePayload(payload: unknown, maxBytes: number): StoredPayload {
  const stored: StoredPayload =
    payload instanceof Uint8Array
      ? { format: 'bytes', bytes: Buffer.from(payload) }
      : { format: 'json', bytes: Buffer.from(toJson(payload)) };
  if (stored.bytes.length > maxBytes) {
    throw new RangeError(`the payload has ${stored.bytes.length} bytes; the maximum is ${maxBytes}`);
  }
  return stored;
}

/**
 * Decodes a stored payload.
 * @throws SyntaxError when the stored text is not JSON
 */
export function decodePayload({ format, bytes }: StoredPayload): unknown {
  return format === 'bytes' ? bytes : JSON.parse(bytes.toString());
}

function toJson(payload: unknown): string {
  const text: string | undefined = JSON.stringify(payload);
  if (text === undefined) throw new TypeError('the payload cannot be written as JSON');
  return text;
}
