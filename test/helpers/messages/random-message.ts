import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import fc from 'fast-check';

/** A message as a list of its set fields, independent of the encoding. */
export type Model = readonly FieldModel[];

/** A set field of a message. */
export interface FieldModel {
  readonly field: DescField;
  /** A single value, the values of a list, or the entries of a map. */
  readonly values: readonly Value[];
}

/** A value in a field. */
export type Value = Scalar | Model | Entry;
/** A value that is not a message. */
export type Scalar = number | bigint | string | boolean | Uint8Array;
/** An entry of a map. */
export interface Entry {
  readonly key: Scalar;
  readonly value: Scalar | Model;
}

/** Random messages of a type. Each message has few fields, so that nesting stays small. */
export function messages(
  type: DescMessage,
  extensions: readonly DescField[] = [],
  depth = 0,
): fc.Arbitrary<Model> {
  const all = [...type.fields, ...extensions];
  return fc
    .subarray(all, { maxLength: Math.min(all.length, depth > 2 ? 2 : 6) })
    .map((fields) =>
      fields.filter((field, index) => !fields.slice(0, index).some((other) => shareOneof(field, other))),
    )
    .chain((fields) => fc.tuple(...fields.map((field) => fieldModel(field, depth))));
}

const shareOneof = (one: DescField, other: DescField) => one.oneof !== undefined && one.oneof === other.oneof;

function fieldModel(field: DescField, depth: number): fc.Arbitrary<FieldModel> {
  const few = { minLength: 1, maxLength: depth > 2 ? 1 : 3 };
  return values().map((found) => ({ field, values: found }));

  function values(): fc.Arbitrary<Value[]> {
    if (field.fieldKind === 'list') return fc.array(single(field, depth), few);
    if (field.fieldKind !== 'map') return single(field, depth).map((value) => [value]);
    const entry = fc.record({ key: scalars(field.mapKey), value: single(field, depth) });
    return fc.uniqueArray(entry, { ...few, selector: ({ key }) => String(key) });
  }
}

/** One random value: of a singular field, of a list element, or of a map entry. */
function single(
  field: { readonly enum?: unknown; readonly message?: DescMessage | undefined; readonly scalar?: unknown },
  depth: number,
): fc.Arbitrary<Scalar | Model> {
  if (field.message) return messages(field.message, [], depth + 1);
  if (field.enum) return fc.constantFrom(...enumNumbers(field.enum));
  return scalars(field.scalar as ScalarType);
}

/** The known numbers of an enum. An open enum has two unknown numbers as well. */
function enumNumbers(type: unknown): number[] {
  const { values, open } = type as { values: readonly { number: number }[]; open: boolean };
  return [...values.map(({ number }) => number), ...(open ? [77, -(2 ** 31)] : [])];
}

const text = fc.string({ maxLength: 5, unit: 'grapheme' });
const edge = (...values: number[]) => fc.constantFrom(...values);
const edge64 = (...values: bigint[]) => fc.constantFrom(...values);
/** Without NaN and -0, because the equality of protobuf-es treats them differently than its encoder. */
const double = fc.double({ noNaN: true }).map((value) => value + 0);

function scalars(type: ScalarType): fc.Arbitrary<Scalar> {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 5 });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.DOUBLE:
      return double;
    case ScalarType.FLOAT:
      return double.map((value) => Math.fround(value) + 0);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.oneof(fc.nat(200), edge(0, 2 ** 32 - 1, 2 ** 31), fc.nat());
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.oneof(
        fc.bigInt(0n, 200n),
        edge64(0n, 2n ** 64n - 1n, 2n ** 53n + 1n),
        fc.bigInt(0n, 2n ** 64n - 1n),
      );
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.oneof(
        fc.bigInt(-200n, 200n),
        edge64(0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 53n) - 1n),
        fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      );
    default:
      return fc.oneof(
        fc.integer({ min: -200, max: 200 }),
        edge(0, -1, 2 ** 31 - 1, -(2 ** 31)),
        fc.integer(),
      );
  }
}

/**
 * Returns the first message with one field, at any depth, replaced by the field of the second message, or
 * removed.
 */
export function mutated(one: Model, other: Model, choose: (options: number) => number): Model {
  const fields = [...new Set([...one, ...other].map(({ field }) => field))];
  const changed = fields[choose(Math.max(1, fields.length))];
  const [before, after] = [one, other].map((model) => model.find(({ field }) => field === changed));
  const rest = one.filter(({ field }) => field !== changed);
  if (!before || !after) return after ? [...rest, after] : rest;
  const [inner, source] = [before.values[0], after.values[0]];
  const isSingle = before.field.fieldKind === 'message' && choose(3) > 0;
  const values = isSingle ? [mutated(inner as Model, source as Model, choose)] : after.values;
  return [...rest, { field: before.field, values }];
}
