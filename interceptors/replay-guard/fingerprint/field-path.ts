import type { FieldSchema, MessageSchema } from '../descriptors/message-schema.js';

/**
 * Field names joined by dots, such as `meta.request_id`. Each name is written as in the `.proto` file, or in
 * camelCase.
 */
export type FieldPath = string;

/**
 * The excluded fields of a message by number. Each value contains the excluded fields inside that field. An empty map
 * excludes the whole field.
 */
export type ExcludedFields = ReadonlyMap<number, ExcludedFields>;

/**
 * The excluded fields of a message by name in camelCase. Each value contains the excluded fields inside that field.
 * An empty map excludes the whole field.
 */
export type FieldNameTree = ReadonlyMap<string, FieldNameTree>;

/** Whether a property of a decoded message, or a field of a schema, has the name in a path. */
export const isNamed = (property: string, name: string): boolean =>
  property === name || camelCase(property) === camelCase(name);

/** Returns a field name in camelCase, equal to the JSON name that protoc derives. */
export const camelCase = (name: string): string =>
  name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase());

/**
 * Checks that a path leads to a string field, through singular messages only.
 * @throws TypeError if the path is not in the schema, or leads to another kind of field
 */
export function assertKeyField(schema: MessageSchema, path: FieldPath): void {
  const fields = resolve(schema, path);
  if (fields.some(({ kind }) => kind !== 'singular')) throw new TypeError(`${path} is in a list or a map`);
  if (fields.at(-1)?.scalar !== 'string') throw new TypeError(`${path} is not a string field`);
}

/**
 * Returns the fields that the paths exclude. A path may lead through a list to the fields of its elements, and
 * through a map to the fields of its values.
 * @throws TypeError if a path is not in the schema
 */
export const excludedFieldsOf = (schema: MessageSchema, paths: readonly FieldPath[]): ExcludedFields =>
  treeOf(paths.map((path) => resolve(schema, path).map(({ number }) => number)));

/** Returns the names of the fields that the paths exclude, for messages without a schema. */
export const fieldNameTree = (paths: readonly FieldPath[]): FieldNameTree =>
  treeOf(paths.map((path) => path.split('.').map(camelCase)));

type Tree<K> = Map<K, Tree<K>>;

function treeOf<K>(paths: readonly (readonly K[])[]): Tree<K> {
  const root: Tree<K> = new Map();
  for (const path of paths) add(root, path);
  return root;
}

/** Adds a path. If a path excludes a whole field, a path to a part of that field has no effect. */
function add<K>(tree: Tree<K>, [step, ...rest]: readonly K[]): void {
  if (step === undefined) return;
  const known = tree.get(step);
  if (rest.length === 0) tree.set(step, new Map());
  else if (known?.size !== 0) {
    const inner: Tree<K> = known ?? new Map();
    tree.set(step, inner);
    add(inner, rest);
  }
}

function resolve(schema: MessageSchema, path: FieldPath): readonly FieldSchema[] {
  const found: FieldSchema[] = [];
  let current: MessageSchema | undefined = schema;
  for (const name of path.split('.')) {
    const field: FieldSchema | undefined = current && fieldNamed(current, name);
    if (!field) {
      const parent = current?.name ?? `${found.at(-1)?.name}, which is not a message,`;
      throw new TypeError(`${path}: ${parent} has no field ${name}`);
    }
    found.push(field);
    current = field.kind === 'map' ? field.message?.fields.get(2)?.message : field.message;
  }
  return found;
}

function fieldNamed(schema: MessageSchema, name: string): FieldSchema | undefined {
  const fields = [...schema.fields.values()];
  return fields.find((field) => field.name === name) ?? fields.find((field) => isNamed(field.name, name));
}
