import { isNamed, type NameTree } from './field-path.js';
import { choiceIn, isEsMessage } from './oneof-choice.js';
import { encodeStatic, isStaticMessage } from './static-message.js';

/** Far beyond what protobuf's own parsers let through, far below what the stack holds. */
const DEEPEST = 500;
const nothing: NameTree = new Map();

/**
 * One text for a decoded message of any code generator: keys sorted, absent and unknown fields left out,
 * numbers, texts and bytes kept apart. For definitions that carry no schema.
 * @throws Error the message is nested too deep
 */
export function canonicalStructure(value: unknown, leftOut = nothing, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'bigint':
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : structureOf(value, leftOut, depth);
    default:
      return 'absent';
  }
}

function structureOf(value: object, leftOut: NameTree, depth: number): string {
  if (depth > DEEPEST) throw new Error('the message is nested too deep');
  const inside = (part: unknown) => canonicalStructure(part, leftOut, depth + 1);
  if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('base64')}>`;
  if (Array.isArray(value)) return `[${value.map(inside).join(',')}]`;
  if (value instanceof Date) return `@${value.getTime()}`;
  if (value instanceof Map) return sorted([...value].map(([key, entry]) => [String(key), inside(entry)]));
  if (isStaticMessage(value)) return canonicalStructure(encodeStatic(value, leftOut));
  if (depth > 0 && isMapOf(value, leftOut)) {
    return sorted(Object.entries(value).map(([key, entry]) => [key, inside(entry)]));
  }
  return sorted(fieldsOf(value, leftOut, depth));
}

function fieldsOf(message: object, leftOut: NameTree, depth: number): [string, string][] {
  const present = Object.entries(message).filter(
    ([name, value]) => isPresent(value) && !isUnknown(name, value),
  );
  return present.flatMap(([name, value]): [string, string][] => {
    const choice = choiceIn(message, value);
    const inside = leftOut.size > 0 ? partOf(leftOut, choice?.name ?? name) : undefined;
    if (!inside) return [[name, canonicalStructure(value, nothing, depth + 1)]];
    if (inside.size > 0) {
      const part = canonicalStructure(choice ? choice.value : value, inside, depth + 1);
      return [[choice ? `${name}/${choice.name}` : name, part]];
    }
    // As protobuf-es holds a oneof of which nothing is set; ts-proto has no property then.
    return choice && isEsMessage(message) ? [[name, '{}']] : [];
  });
}

function partOf(leftOut: NameTree, name: string): NameTree | undefined {
  for (const [left, inside] of leftOut) if (isNamed(name, left)) return inside;
  return undefined;
}

/** A map of messages that has become an object: all its values have, or may have, what is to be left out. */
function isMapOf(value: object, leftOut: NameTree): boolean {
  if (leftOut.size === 0 || isEsMessage(value)) return false;
  const values: unknown[] = Object.values(value);
  return values.length > 0 && values.every((entry) => isMessageWith(entry, leftOut));
}

function isMessageWith(value: unknown, leftOut: NameTree): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return isEsMessage(value) || Object.keys(value).some((name) => partOf(leftOut, name) !== undefined);
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
