import protobuf, { type Field, type Type } from 'protobufjs';

/** A message type whose values can be written in one canonical form. */
export interface CanonicalType {
  readonly type: Type;
  /** The types that stand for map entries. */
  readonly mapEntries: ReadonlySet<Type>;
}

/**
 * The canonical bytes of a message: equal for messages that are equal as protobuf messages, whatever the
 * order of fields and map entries on the wire, explicit defaults, packed or not. Unknown fields are left out.
 */
export function canonicalBytes(canonical: CanonicalType, wire: Uint8Array): Uint8Array {
  const writer = protobuf.Writer.create();
  writeMessage(canonical, canonical.type, canonical.type.decode(wire) as unknown as Message, writer);
  return writer.finish();
}

type Message = Record<string, unknown>;

function writeMessage(canonical: CanonicalType, type: Type, message: Message, writer: protobuf.Writer): void {
  for (const field of type.fieldsArray.toSorted((a, b) => a.id - b.id)) {
    if (!Object.hasOwn(message, field.name) || isOverruled(field, message)) continue;
    const value = message[field.name];
    if (field.repeated) {
      const entries = value as unknown[];
      const isMap = field.resolvedType && canonical.mapEntries.has(field.resolvedType as Type);
      if (isMap) writeMap(canonical, field, entries as Message[], writer);
      else for (const entry of entries) writeValue(canonical, field, entry, writer);
    } else if (field.hasPresence || !isDefault(value)) {
      writeValue(canonical, field, value, writer);
    }
  }
}

/** Of several members of a oneof on the wire the last counts. */
function isOverruled(field: Field, message: Message): boolean {
  const members = field.partOf?.oneof ?? [];
  if (members.length < 2) return false;
  return Object.keys(message).findLast((name) => members.includes(name)) !== field.name;
}

/** Sorted by key; of two entries with one key the last counts. */
function writeMap(
  canonical: CanonicalType,
  field: Field,
  entries: readonly Message[],
  writer: protobuf.Writer,
): void {
  const sorted = new Map(entries.map((entry) => [String(entry.key), entry]));
  for (const key of [...sorted.keys()].sort()) writeValue(canonical, field, sorted.get(key), writer);
}

function writeValue(canonical: CanonicalType, field: Field, value: unknown, writer: protobuf.Writer): void {
  writer.uint32(field.id);
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) {
    writer.fork();
    writeMessage(canonical, type, value as Message, writer);
    writer.ldelim();
  } else {
    const scalar = (type ? 'int32' : field.type) as 'string';
    writer[scalar](value as string);
  }
}

/** The value that a field without presence has when it is not on the wire; -0 is another one. */
function isDefault(value: unknown): boolean {
  if (typeof value === 'number') return Object.is(value, 0);
  if (isLong(value)) return value.low === 0 && value.high === 0;
  if (value instanceof Uint8Array) return value.length === 0;
  return value === '' || value === false;
}

function isLong(value: unknown): value is { low: number; high: number } {
  return typeof value === 'object' && value !== null && 'low' in value && 'high' in value;
}
