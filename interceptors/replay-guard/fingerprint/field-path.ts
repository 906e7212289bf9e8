import type { FieldSchema, MessageSchema } from '../descriptors/message-schema.js';
import type { ExcludedFields } from './canonical-form.js';

/** Field names joined by dots, `meta.request_id`: as the `.proto` has them, or in camelCase. */
export type FieldPath = string;

/** Field names in camelCase, and the names inside each; an empty map stands for the whole field. */
export type FieldNameTree = ReadonlyMap<string, FieldNameTree>;

/** Whether a property of a decoded message, or a field of a schema, is the field that a path names. */
export const isNamed = (property: string, name: string): boolean =>
  property === name || camelCase(property) === camelCase(name);

/** The name that protoc gives a field in JSON. */
export const camelCase = (name: string): string =>
  name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase());

/**
 * Checks that the path leads to a string through messages, none of them in a list or a map.
 * @throws TypeError it does not; the message says why
 */
export function assertKeyField(shape: MessageSchema, path: FieldPath): void {
  const fields = resolve(shape, path);
  if (fields.some(({ kind }) => kind !== 'singular')) throw new TypeError(`${path} is in a list or a map`);
  if (fields.at(-1)?.scalar !== 'string') throw new TypeError(`${path} is no string`);
}

/**
 * What the paths leave out of a message; they may lead through lists, and through maps to their values.
 * @throws TypeError a path leads nowhere
 */
export const excludedFieldsOf = (shape: MessageSchema, paths: readonly FieldPath[]): ExcludedFields =>
  tree(paths.map((path) => resolve(shape, path).map(({ number }) => number)));

export const namesIn = (paths: readonly FieldPath[]): FieldNameTree =>
  tree(paths.map((path) => path.split('.').map(camelCase)));

type Branch<K> = Map<K, Branch<K>>;

function tree<K>(ways: readonly (readonly K[])[]): Branch<K> {
  const root: Branch<K> = new Map();
  for (const way of ways) add(root, way);
  return root;
}

/** A field that is left out whole stays so, whatever is said of its parts. */
function add<K>(branch: Branch<K>, [step, ...rest]: readonly K[]): void {
  if (step === undefined) return;
  const known = branch.get(step);
  if (rest.length === 0) branch.set(step, new Map());
  else if (known?.size !== 0) {
    const deeper: Branch<K> = known ?? new Map();
    branch.set(step, deeper);
    add(deeper, rest);
  }
}

function resolve(shape: MessageSchema, path: FieldPath): readonly FieldSchema[] {
  const found: FieldSchema[] = [];
  let at: MessageSchema | undefined = shape;
  for (const name of path.split('.')) {
    const field: FieldSchema | undefined = at && fieldNamed(at, name);
    if (!field) throw new TypeError(`${path}: ${at ? at.name : 'what is no message'} has no field ${name}`);
    found.push(field);
    at = field.kind === 'map' ? field.message?.fields.get(2)?.message : field.message;
  }
  return found;
}

function fieldNamed(shape: MessageSchema, name: string): FieldSchema | undefined {
  const fields = [...shape.fields.values()];
  return fields.find((field) => field.name === name) ?? fields.find((field) => isNamed(field.name, name));
}
