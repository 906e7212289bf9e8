/** A payload as it is stored. */
export interface StoredPayload {
  readonly format: 'json' | 'bytes';
  readonly bytes: Buffer;
}

/**
 * @throws TypeError it cannot be written as JSON
 * @throws RangeError it is larger than `maxBytes`
 */
export function encodePayload(payload: unknown, maxBytes: number): StoredPayload {
  const stored: StoredPayload =
    payload instanceof Uint8Array
      ? { format: 'bytes', bytes: Buffer.from(payload) }
      : { format: 'json', bytes: Buffer.from(toJson(payload)) };
  if (stored.bytes.length > maxBytes) {
    throw new RangeError(`the payload has ${stored.bytes.length} bytes, and ${maxBytes} is the most`);
  }
  return stored;
}

export function decodePayload({ format, bytes }: StoredPayload): unknown {
  return format === 'bytes' ? bytes : JSON.parse(bytes.toString());
}

function toJson(payload: unknown): string {
  const text: string | undefined = JSON.stringify(payload);
  if (text === undefined) throw new TypeError('the payload cannot be written as JSON');
  return text;
}
