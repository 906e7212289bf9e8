import { type DescField, ScalarType } from '@bufbuild/protobuf';
import type { Choose } from './append-wire.js';
import type { Entry, FieldModel, Model, Scalar, Value } from './random-message.js';

/** The parts of one field; they keep their order, those of different fields do not. */
type Parts = Uint8Array[];

/**
 * Writes a message in one of the ways that mean the same; `plainly` chooses the usual one.
 * @param isRest it merges into another one, of which it must overrule nothing
 */
export function encodeModel(model: Model, choose: Choose, isRest = false): Buffer {
  const fields = model.map((entry) => partsOf(entry, choose, isRest));
  const unknown = Array.from({ length: choose(3) }, () => [unknownField(choose)]);
  return woven([...fields, ...unknown], choose);
}

function partsOf({ field, values }: FieldModel, choose: Choose, isRest: boolean): Parts {
  const before = isRest ? [] : rivals(field, choose);
  switch (field.fieldKind) {
    case 'list':
      return listParts(field, values, choose);
    case 'map':
      return mapParts(field, values as readonly Entry[], choose);
    case 'message':
      return [...before, ...messageParts(field, values[0] as Model, choose, isRest)];
    default:
      return [...before, ...scalarParts(field, values[0] as Scalar, choose)];
  }
}

/** What the last one of a oneof, or of a singular field, overrules. */
function rivals(field: DescField, choose: Choose): Parts {
  const others = field.oneof?.fields.filter((other) => other !== field) ?? [];
  const rival = others[choose(others.length + 2) - 1];
  return rival ? [written(rival, rival.message ? [] : zeroOf(rival), choose)] : [];
}

function scalarParts(field: DescField, value: Scalar, choose: Choose): Parts {
  const isImplicit = field.presence === 2;
  if (isImplicit && isZero(value) && choose(2) === 0) return [];
  const before = choose(4) === 1 ? [written(field, zeroOf(field), choose)] : [];
  return [...before, written(field, value, choose)];
}

function messageParts(field: DescField, model: Model, choose: Choose, isRest: boolean): Parts {
  if (choose(3) !== 1) return [written(field, model, choose, isRest)];
  const [one, other] = split(model, choose);
  return [written(field, one, choose, isRest), written(field, other, choose, true)];
}

/** Two messages that merge to the given one. */
function split(model: Model, choose: Choose): [Model, Model] {
  const [one, other]: [FieldModel[], FieldModel[]] = [[], []];
  for (const { field, values } of model) {
    const at =
      field.fieldKind === 'list' || field.fieldKind === 'map' ? choose(values.length + 1) : choose(2);
    if (field.fieldKind === 'message' && choose(2)) {
      const halves = split(values[0] as Model, choose);
      one.push({ field, values: [halves[0]] });
      other.push({ field, values: [halves[1]] });
    } else {
      if (at > 0) one.push({ field, values: values.slice(0, at) });
      if (at < values.length) other.push({ field, values: values.slice(at) });
    }
  }
  return [one, other];
}

function listParts(field: DescField, values: readonly Value[], choose: Choose): Parts {
  const type = field.fieldKind === 'list' && field.listKind !== 'message' ? typeOf(field) : undefined;
  if (type === undefined || wireType(type) === 2) return values.map((value) => written(field, value, choose));
  const parts: Parts = [];
  for (let rest = values; rest.length > 0; ) {
    const run = rest.slice(0, 1 + choose(rest.length));
    rest = rest.slice(run.length);
    const packed = Buffer.concat(run.map((value) => scalarBytes(type, value as Scalar, choose)));
    if (choose(2)) parts.push(delimited(field.number, packed, choose));
    else parts.push(...run.map((value) => written(field, value, choose)));
  }
  return parts;
}

function mapParts(field: DescField & { fieldKind: 'map' }, entries: readonly Entry[], choose: Choose): Parts {
  const entry = ({ key, value }: Entry) => {
    const keyPart = numbered(1, field.mapKey, key, choose);
    const isEmpty = field.message ? (value as Model).length === 0 : isZero(value as Scalar);
    const valuePart = field.message
      ? delimited(2, encodeModel(value as Model, choose), choose)
      : numbered(2, typeOf(field), value as Scalar, choose);
    const parts = [isZero(key) && choose(2) ? [] : [keyPart], isEmpty && choose(2) ? [] : [valuePart]];
    return delimited(field.number, woven(parts, choose), choose);
  };
  return shuffled(entries, choose).flatMap((each) => {
    const before =
      choose(4) === 1 ? [entry({ key: each.key, value: field.message ? [] : zeroOf(field) })] : [];
    return [...before, entry(each)];
  });
}

/** A field with its tag, whatever it holds. */
function written(field: DescField, value: Value, choose: Choose, isRest = false): Buffer {
  if (!field.message) return numbered(field.number, typeOf(field), value as Scalar, choose);
  const content = encodeModel(value as Model, choose, isRest);
  const isGroup = 'delimitedEncoding' in field && field.delimitedEncoding;
  if (!isGroup) return delimited(field.number, content, choose);
  return Buffer.concat([tag(field.number, 3, choose), content, tag(field.number, 4, choose)]);
}

const numbered = (number: number, type: ScalarType, value: Scalar, choose: Choose) =>
  Buffer.concat([tag(number, wireType(type), choose), scalarBytes(type, value, choose)]);

const delimited = (number: number, content: Uint8Array, choose: Choose) =>
  Buffer.concat([tag(number, 2, choose), varint(BigInt(content.length), choose, 5), content]);

const tag = (number: number, type: number, choose: Choose) =>
  varint((BigInt(number) << 3n) | BigInt(type), choose, 5);

/** In as few bytes as it needs, or in more. */
function varint(value: bigint, choose: Choose, longest = 10): Buffer {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); rest > 0n || bytes.length === 0; rest >>= 7n)
    bytes.push(Number(rest & 127n));
  if (choose(6) === 1) while (bytes.length < longest && choose(3) > 0) bytes.push(0);
  return Buffer.from(bytes.map((byte, at) => (at < bytes.length - 1 ? byte | 128 : byte)));
}

const typeOf = (field: DescField): ScalarType =>
  field.enum ? ScalarType.INT32 : (field.scalar as ScalarType);

function wireType(type: ScalarType): number {
  if ([ScalarType.STRING, ScalarType.BYTES].includes(type)) return 2;
  if ([ScalarType.DOUBLE, ScalarType.FIXED64, ScalarType.SFIXED64].includes(type)) return 1;
  return [ScalarType.FLOAT, ScalarType.FIXED32, ScalarType.SFIXED32].includes(type) ? 5 : 0;
}

function scalarBytes(type: ScalarType, value: Scalar, choose: Choose): Buffer {
  const fixed = Buffer.alloc(wireType(type) === 1 ? 8 : 4);
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES: {
      const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value as Uint8Array);
      return Buffer.concat([varint(BigInt(bytes.length), choose, 5), bytes]);
    }
    case ScalarType.DOUBLE:
      fixed.writeDoubleLE(value as number);
      return fixed;
    case ScalarType.FLOAT:
      fixed.writeFloatLE(value as number);
      return fixed;
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      fixed.writeUInt32LE((value as number) >>> 0);
      return fixed;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      fixed.writeBigUInt64LE(BigInt.asUintN(64, value as bigint));
      return fixed;
    case ScalarType.SINT32:
    case ScalarType.SINT64: {
      const number = BigInt(value as number | bigint);
      return varint((number << 1n) ^ (number >> 63n), choose);
    }
    default:
      return varint(BigInt(value as number | bigint | boolean), choose);
  }
}

const isZero = (value: Scalar) => (value instanceof Uint8Array ? value.length === 0 : !value);

function zeroOf(field: DescField): Scalar {
  if (field.scalar === ScalarType.STRING) return '';
  if (field.scalar === ScalarType.BYTES) return new Uint8Array();
  const [first] = field.enum?.open === false ? field.enum.values : [];
  return first?.number ?? (wireType(typeOf(field)) === 1 && field.scalar !== ScalarType.DOUBLE ? 0n : 0);
}

/** A field that no schema has, in any wire type. */
function unknownField(choose: Choose): Buffer {
  const number = 60_000 + choose(3);
  switch (choose(5)) {
    case 0:
      return Buffer.concat([tag(number, 0, choose), varint(BigInt(choose(1_000)), choose)]);
    case 1:
      return Buffer.concat([tag(number, 1, choose), Buffer.alloc(8, choose(256))]);
    case 2:
      return delimited(number, Buffer.alloc(choose(4), 8), choose);
    case 3:
      return Buffer.concat([
        tag(number, 3, choose),
        tag(1, 0, choose),
        varint(5n, choose),
        tag(number, 4, choose),
      ]);
    default:
      return Buffer.concat([tag(number, 5, choose), Buffer.alloc(4, choose(256))]);
  }
}

/** All parts, fields in any order, the parts of one field in theirs. */
function woven(fields: readonly Parts[], choose: Choose): Buffer {
  const left = fields.filter((parts) => parts.length > 0).map((parts) => [...parts]);
  const out: Uint8Array[] = [];
  while (left.length > 0) {
    const at = choose(left.length);
    out.push(left[at]?.shift() as Uint8Array);
    if (left[at]?.length === 0) left.splice(at, 1);
  }
  return Buffer.concat(out);
}

function shuffled<T>(entries: readonly T[], choose: Choose): T[] {
  const left = [...entries];
  return entries.map(() => left.splice(choose(left.length), 1)[0] as T);
}
