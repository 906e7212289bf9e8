import { type DescField, ScalarType } from '@bufbuild/protobuf';
import { type Choose, interleaved, type Parts, shuffled } from './encoder-choices.js';
import type { Entry, FieldModel, Model, Scalar, Value } from './random-message.js';

/**
 * Encodes a message in one of the equivalent encodings.
 * @param isContinuation whether a decoder merges the message into an earlier part of the same message. The encoding
 * then overwrites no value of the earlier part.
 */
export function encodeModel(model: Model, choose: Choose, isContinuation = false): Buffer {
  const fields = model.map((entry) => partsOf(entry, choose, isContinuation));
  const unknown = Array.from({ length: choose(3) }, () => [unknownField(choose)]);
  return interleaved([...fields, ...unknown], choose);
}

function partsOf({ field, values }: FieldModel, choose: Choose, isContinuation: boolean): Parts {
  const overwritten = isContinuation ? [] : otherMember(field, choose);
  switch (field.fieldKind) {
    case 'list':
      return listParts(field, values, choose);
    case 'map':
      return mapParts(field, values as readonly Entry[], choose);
    case 'message':
      return [...overwritten, ...messageParts(field, values[0] as Model, choose, isContinuation)];
    default:
      return [...overwritten, ...scalarParts(field, values[0] as Scalar, choose)];
  }
}

/** Encodes another member of the field's oneof, or nothing. A decoder keeps the member that follows. */
function otherMember(field: DescField, choose: Choose): Parts {
  const others = field.oneof?.fields.filter((member) => member !== field) ?? [];
  const other = others[choose(others.length + 2) - 1];
  return other ? [encodedField(other, other.message ? [] : zeroOf(other), choose)] : [];
}

function scalarParts(field: DescField, value: Scalar, choose: Choose): Parts {
  const isImplicit = field.presence === 2;
  if (isImplicit && isZero(value) && choose(2) === 0) return [];
  const overwritten = choose(4) === 1 ? [encodedField(field, zeroOf(field), choose)] : [];
  return [...overwritten, encodedField(field, value, choose)];
}

function messageParts(field: DescField, model: Model, choose: Choose, isContinuation: boolean): Parts {
  if (choose(3) !== 1) return [encodedField(field, model, choose, isContinuation)];
  const [one, other] = split(model, choose);
  return [encodedField(field, one, choose, isContinuation), encodedField(field, other, choose, true)];
}

/** Splits a message into two parts that merge to the message. */
function split(model: Model, choose: Choose): [Model, Model] {
  const [one, other]: [FieldModel[], FieldModel[]] = [[], []];
  for (const { field, values } of model) {
    const cut =
      field.fieldKind === 'list' || field.fieldKind === 'map' ? choose(values.length + 1) : choose(2);
    if (field.fieldKind === 'message' && choose(2)) {
      const halves = split(values[0] as Model, choose);
      one.push({ field, values: [halves[0]] });
      other.push({ field, values: [halves[1]] });
    } else {
      if (cut > 0) one.push({ field, values: values.slice(0, cut) });
      if (cut < values.length) other.push({ field, values: values.slice(cut) });
    }
  }
  return [one, other];
}

function listParts(field: DescField, values: readonly Value[], choose: Choose): Parts {
  const type = field.fieldKind === 'list' && field.listKind !== 'message' ? typeOf(field) : undefined;
  if (type === undefined || wireType(type) === 2)
    return values.map((value) => encodedField(field, value, choose));
  const parts: Parts = [];
  for (let rest = values; rest.length > 0; ) {
    const run = rest.slice(0, 1 + choose(rest.length));
    rest = rest.slice(run.length);
    const packed = Buffer.concat(run.map((value) => scalarBytes(type, value as Scalar, choose)));
    if (choose(2)) parts.push(delimited(field.number, packed, choose));
    else parts.push(...run.map((value) => encodedField(field, value, choose)));
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
    return delimited(field.number, interleaved(parts, choose), choose);
  };
  return shuffled(entries, choose).flatMap((each) => {
    const overwritten =
      choose(4) === 1 ? [entry({ key: each.key, value: field.message ? [] : zeroOf(field) })] : [];
    return [...overwritten, entry(each)];
  });
}

/** Encodes a field of any kind: tag and value. */
function encodedField(field: DescField, value: Value, choose: Choose, isContinuation = false): Buffer {
  if (!field.message) return numbered(field.number, typeOf(field), value as Scalar, choose);
  const content = encodeModel(value as Model, choose, isContinuation);
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

/** Encodes a number in the minimum number of bytes, or in more bytes. */
function varint(value: bigint, choose: Choose, maxBytes = 10): Buffer {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); rest > 0n || bytes.length === 0; rest >>= 7n)
    bytes.push(Number(rest & 127n));
  if (choose(6) === 1) while (bytes.length < maxBytes && choose(3) > 0) bytes.push(0);
  return Buffer.from(bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 128 : byte)));
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

/** Encodes a field that is in no schema, with any wire type. */
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
