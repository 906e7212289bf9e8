import { type FieldNameTree, isNamed } from './field-path.js';
import { encodeStatic, isStaticMessage } from './google-protobuf.js';
import { choiceIn, isEsMessage } from './oneof.js';

/** Far beyond what protobuf's own parsers let through, far below what the stack holds. */
const DEEPEST = 500;
const nothing: FieldNameTree = new Map();

/**
 * One text for a decoded message of any code generator: keys sorted, absent and unknown fields left out,
 * numbers, texts and bytes kept apart. For definitions that carry no schema.
 * @throws Error the message is nested too deep
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
  if (depth > DEEPEST) throw new Error('the message is nested too deep');
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
    // As protobuf-es holds a oneof of which nothing is set; ts-proto has no property then.
    return choice && isEsMessage(message) ? [[name, '{}']] : [];
  });
}

function partOf(excluded: FieldNameTree, name: string): FieldNameTree | undefined {
  for (const [left, inside] of excluded) if (isNamed(name, left)) return inside;
  return undefined;
}

/** A map of messages that has become an object: all its values have, or may have, what is to be left out. */
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

/** As protobuf-es and ts-proto keep unknown fields; by what they hold too, for a map may have any key. */
function isUnknown(name: string, value: unknown): boolean {
  if (name !== '$unknown' && name !== '_unknownFields') return false;
  const kept = Object.values(value ?? {}).flat();
  return kept.length > 0 && kept.every((entry) => (entry?.data ?? entry) instanceof Uint8Array);
}

function sorted(entries: readonly (readonly [string, string])[]): string {
  return `{${entries
    .map(([key, text]) => `${JSON.stringify(key)}:${text}`)
    .sort()
    .join(',')}}`;
}
