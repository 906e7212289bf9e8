/**
 * One text for a decoded message of any code generator: keys sorted, absent fields left out, numbers,
 * texts and bytes kept apart. For definitions that carry no schema.
 */
export function canonicalStructure(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'bigint':
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : structureOf(value);
    default:
      return 'null';
  }
}

function structureOf(value: object): string {
  if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('base64')}>`;
  if (Array.isArray(value)) return `[${value.map(canonicalStructure).join(',')}]`;
  if (value instanceof Date) return `@${value.getTime()}`;
  if (value instanceof Map) return sortedEntries([...value].map(([key, entry]) => [String(key), entry]));
  // A google-protobuf message: its own encoding sorts maps and leaves defaults out.
  if ('serializeBinary' in value && typeof value.serializeBinary === 'function') {
    return canonicalStructure(value.serializeBinary());
  }
  return sortedEntries(Object.entries(value).filter(([, entry]) => isPresent(entry)));
}

function isPresent(entry: unknown): boolean {
  return entry !== undefined && entry !== null && typeof entry !== 'function';
}

function sortedEntries(entries: readonly [string, unknown][]): string {
  const texts = entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalStructure(entry)}`);
  return `{${texts.sort().join(',')}}`;
}
