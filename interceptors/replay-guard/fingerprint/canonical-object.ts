import { type FieldNameTree, isNamed } from './field-path.js';
import { encodeStatic, isStaticMessage } from './google-protobuf.js';
import { choiceIn, isEsMessage } from './oneof.js';

/**
 * The maximum nesting depth. The parsers of protobuf accept a much smaller depth. The stack allows a much greater
 * depth.
 */
const MAX_DEPTH = 500;
const nothing: FieldNameTree = new Map();

/**
 * Returns the canonical text of a decoded message, for definitions without a schema. Supports the messages of all
 * code generators. Fields are sorted by name. Absent, unknown and excluded fields are omitted. A number, a string and
 * bytes never have the same text, even with equal digits.
 * @throws Error if the message is nested more than 500 levels deep
 */
export function canonicalObject(value: unknown, excluded = nothing, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'bigint':
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : structureOf(value, excluded, depth);
    default:
      return 'absent';
  }
}

function structureOf(value: object, excluded: FieldNameTree, depth: number): string {
  if (depth > MAX_DEPTH) throw new Error('the message is nested too deeply');
  const inside = (part: unknown) => canonicalObject(part, excluded, depth + 1);
  if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('base64')}>`;
  if (Array.isArray(value)) return `[${value.map(inside).join(',')}]`;
  if (value instanceof Date) return `@${value.getTime()}`;
  if (value instanceof Map) return sorted([...value].map(([key, entry]) => [String(key), inside(entry)]));
  if (isStaticMessage(value)) return canonicalObject(encodeStatic(value, excluded));
  if (depth > 0 && isMapOf(value, excluded)) {
    return sorted(Object.entries(value).map(([key, entry]) => [key, inside(entry)]));
  }
  return sorted(fieldsOf(value, excluded, depth));
}

function fieldsOf(message: object, excluded: FieldNameTree, depth: number): [string, string][] {
  const present = Object.entries(message).filter(
    ([name, value]) => isPresent(value) && !isUnknown(name, value),
  );
  return present.flatMap(([name, value]): [string, string][] => {
    const choice = choiceIn(message, value);
    const inside = excluded.size > 0 ? partOf(excluded, choice?.name ?? name) : undefined;
    if (!inside) return [[name, canonicalObject(value, nothing, depth + 1)]];
    if (inside.size > 0) {
      const part = canonicalObject(choice ? choice.value : value, inside, depth + 1);
      return [[choice ? `${name}/${choice.name}` : name, part]];
    }
    // protobuf-es represents an unset oneof as an empty object. ts-proto omits the property.
    return choice && isEsMessage(message) ? [[name, '{}']] : [];
  });
}

function partOf(excluded: FieldNameTree, name: string): FieldNameTree | undefined {
  for (const [excludedName, inside] of excluded) if (isNamed(name, excludedName)) return inside;
  return undefined;
}

/**
 * Whether an object is a map of messages. In such a map, every value has an excluded field or may have an excluded
 * field.
 */
function isMapOf(value: object, excluded: FieldNameTree): boolean {
  if (excluded.size === 0 || isEsMessage(value)) return false;
  const values: unknown[] = Object.values(value);
  return values.length > 0 && values.every((entry) => isMessageWith(entry, excluded));
}

function isMessageWith(value: unknown, excluded: FieldNameTree): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return isEsMessage(value) || Object.keys(value).some((name) => partOf(excluded, name) !== undefined);
}

function isPresent(value: unknown): boolean {
  return value !== undefined && typeof value !== 'function';
}

/**
 * Whether a property contains the unknown fields that protobuf-es and ts-proto keep. A map may have a key with the
 * same name, so the value is checked too.
 */
function isUnknown(name: string, value: unknown): boolean {
  if (name !== '$unknown' && name !== '_unknownFields') return false;
  const entries = Object.values(value ?? {}).flat();
  return entries.length > 0 && entries.every((entry) => (entry?.data ?? entry) instanceof Uint8Array);
}

function sorted(entries: readonly (readonly [string, string])[]): string {
  return `{${entries
    .map(([key, text]) => `${JSON.stringify(key)}:${text}`)
    .sort()
    .join(',')}}`;
}
