import { camelCase, type FieldNameTree } from './field-path.js';

/** A message of google-protobuf, whose class protoc-gen-js or grpc-tools generated. */
export interface StaticMessage {
  serializeBinary(): Uint8Array;
}

/** Whether an object is a message of google-protobuf. */
export const isStaticMessage = (value: object): value is StaticMessage =>
  'serializeBinary' in value && typeof value.serializeBinary === 'function';

/**
 * Returns the value of a field from its getter, such as `getRequestId()` for `request_id`. Returns undefined if
 * the message has no such getter.
 */
export const fieldOfStatic = (message: StaticMessage, name: string): unknown =>
  call(message, `get${capitalized(name)}`);

/** Encodes a message without the excluded fields. google-protobuf sorts maps and omits defaults. */
export function encodeStatic(message: StaticMessage, excluded: FieldNameTree): Uint8Array {
  const bytes = message.serializeBinary();
  if (excluded.size === 0) return bytes;
  // Clear the fields on a copy, because the handler receives the original message.
  const { deserializeBinary } = message.constructor as unknown as StaticClass;
  const copy = deserializeBinary(bytes);
  clear(copy, excluded);
  return copy.serializeBinary();
}

interface StaticClass {
  deserializeBinary(bytes: Uint8Array): StaticMessage;
}

function clear(message: StaticMessage, excluded: FieldNameTree): void {
  for (const [name, inside] of excluded) {
    const field = capitalized(name);
    if (inside.size > 0) for (const part of partsOf(message, field)) clear(part, inside);
    else clearWhole(message, field);
  }
}

/** Clears a whole field. A field without presence has only a setter. The setter replaces undefined with the default. */
function clearWhole(message: StaticMessage, field: string): void {
  const clearers = ['', 'List', 'Map'].map((kind) => `clear${field}${kind}`);
  const clearer = clearers.find((name) => name in message);
  call(message, clearer ?? `set${field}`, undefined);
}

/** Returns the messages in a field: the value of the field, or all values of a list or a map. */
function partsOf(message: StaticMessage, field: string): readonly StaticMessage[] {
  const single = call(message, `get${field}`);
  const list = call(message, `get${field}List`) as readonly unknown[] | undefined;
  const map = call(message, `get${field}Map`) as ReadonlyMap<unknown, unknown> | undefined;
  const values: unknown[] = [];
  map?.forEach((value) => {
    values.push(value);
  });
  return [single, ...(list ?? []), ...values].filter(
    (part): part is StaticMessage => typeof part === 'object' && part !== null && isStaticMessage(part),
  );
}

function call(message: StaticMessage, method: string, ...args: unknown[]): unknown {
  const found = (message as unknown as Record<string, unknown>)[method];
  return typeof found === 'function' ? found.apply(message, args) : undefined;
}

const capitalized = (name: string) => camelCase(`_${name}`);
