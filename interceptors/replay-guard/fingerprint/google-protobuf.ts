import { camelCase, type FieldNameTree } from './field-path.js';

/** An instance of a class that protoc-gen-js or grpc-tools made, on google-protobuf. */
export interface StaticMessage {
  serializeBinary(): Uint8Array;
}

export const isStaticMessage = (value: object): value is StaticMessage =>
  'serializeBinary' in value && typeof value.serializeBinary === 'function';

/** What the getter of a field gives, `getRequestId()` for `request_id`; undefined where there is none. */
export const fieldOfStatic = (message: StaticMessage, name: string): unknown =>
  call(message, `get${capitalized(name)}`);

/** The message's own encoding, which sorts maps and leaves defaults out. */
export function encodeStatic(message: StaticMessage, excluded: FieldNameTree): Uint8Array {
  const bytes = message.serializeBinary();
  if (excluded.size === 0) return bytes;
  // On a copy: the handler gets the message as it came.
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

/** Fields without presence have a setter only; it takes undefined for the default. */
function clearWhole(message: StaticMessage, field: string): void {
  const clearers = ['', 'List', 'Map'].map((kind) => `clear${field}${kind}`);
  const clearer = clearers.find((name) => name in message);
  call(message, clearer ?? `set${field}`, undefined);
}

/** The message of a field, or those of its list or map. */
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
