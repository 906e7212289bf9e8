/** Returns an input as JSON. Bytes and BigInts become objects with one name, which `parsePlain` reads. */
export function printPlain(value: unknown): string {
  return JSON.stringify(toPlain(value), null, 2);
}

/** Reads the JSON that `printPlain` returns. */
export function parsePlain(text: string): unknown {
  return JSON.parse(text, (_name, value) => {
    if (typeof value?.$hex === 'string') return Buffer.from(value.$hex, 'hex');
    return typeof value?.$bigint === 'string' ? BigInt(value.$bigint) : value;
  });
}

function toPlain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $hex: Buffer.from(value).toString('hex') };
  if (typeof value === 'bigint') return { $bigint: String(value) };
  if (Array.isArray(value)) return value.map(toPlain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, toPlain(entry)]));
}
