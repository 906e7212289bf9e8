import protobuf from 'protobufjs';
import { type Choose, chooseUsual, interleaved, type Parts, shuffled } from './encoder-choices.js';

/** The fields of an AppendRequest, independent of the encoding. */
export interface AppendModel {
  readonly account: string;
  readonly amountMinor: number;
  readonly labels: readonly (readonly [string, string])[];
  readonly details: readonly (readonly [number, DetailModel])[];
  readonly source: { readonly card: string } | { readonly goods: LineModel } | undefined;
  readonly note: string | undefined;
  readonly lines: readonly LineModel[];
  readonly tags: readonly number[];
  readonly data: Uint8Array;
  readonly kind: number;
  readonly rate: number;
  readonly booked: { readonly seconds: number; readonly nanos: number } | undefined;
}

/** The fields of a Line. */
export interface LineModel {
  readonly sku: string;
  readonly quantity: number;
}

/** The fields of a Detail. */
export interface DetailModel {
  readonly text: string;
  readonly counts: readonly (readonly [string, number])[];
}

/** An AppendRequest without fields. */
export const emptyAppend: AppendModel = {
  ...{ account: '', amountMinor: 0, labels: [], details: [], source: undefined, note: undefined },
  ...{ lines: [], tags: [], data: new Uint8Array(), kind: 0, rate: 0, booked: undefined },
};

type Scalar = 'string' | 'int64' | 'uint32' | 'int32' | 'bytes' | 'double';

/** Encodes a request in one of the equivalent encodings. */
export function encodeAppend(model: AppendModel, choose: Choose): Buffer {
  const scalar = (id: number, type: Scalar, value: unknown) => scalarField(id, type, value, choose);
  const line = ({ sku, quantity }: LineModel) =>
    interleaved([scalar(1, 'string', sku), scalar(2, 'uint32', quantity)], choose);
  const detail = ({ text, counts }: DetailModel) =>
    interleaved([scalar(1, 'string', text), ...mapField(2, counts, 'string', 'int64', choose)], choose);
  const source = model.source;
  return Buffer.from(
    interleaved(
      [
        scalar(1, 'string', model.account),
        scalar(2, 'int64', model.amountMinor),
        ...mapField(3, model.labels, 'string', 'string', choose),
        ...shuffled(model.details, choose).map(([key, value]) => [
          nested(4, interleaved([[field(1, 'int32', key)], [nested(2, detail(value))]], choose)),
        ]),
        source && 'card' in source ? [field(5, 'string', source.card)] : [],
        source && 'goods' in source ? [nested(6, line(source.goods))] : [],
        model.note === undefined ? [] : [field(7, 'string', model.note)],
        model.lines.map((entry) => nested(8, line(entry))),
        tagParts(model.tags, choose),
        scalar(10, 'bytes', model.data),
        scalar(11, 'int32', model.kind),
        scalar(12, 'double', model.rate),
        model.booked ? [nested(13, timestamp(model.booked, scalar, choose))] : [],
      ],
      choose,
    ),
  );
}

function timestamp(
  { seconds, nanos }: { seconds: number; nanos: number },
  scalar: (id: number, type: Scalar, value: unknown) => Parts,
  choose: Choose,
) {
  return interleaved([scalar(1, 'int64', seconds), scalar(2, 'int32', nanos)], choose);
}

const wireTypes: Record<Scalar, number> = { string: 2, int64: 0, uint32: 0, int32: 0, bytes: 2, double: 1 };

/** Encodes one scalar field: tag and value. */
export function field(id: number, type: Scalar, value: unknown): Uint8Array {
  const writer = protobuf.Writer.create().uint32((id << 3) | wireTypes[type]);
  (writer[type] as (value: unknown) => protobuf.Writer)(value);
  return writer.finish();
}

/** Encodes one field with a length prefix, such as a message. */
export function nested(id: number, content: Uint8Array): Uint8Array {
  return protobuf.Writer.create()
    .uint32((id << 3) | 2)
    .bytes(content)
    .finish();
}

/** Encodes a field without presence. May omit a default, or add an earlier value: a decoder keeps the last value. */
function scalarField(id: number, type: Scalar, value: unknown, choose: Choose): Parts {
  const isDefault = value === '' || Object.is(value, 0) || (value instanceof Uint8Array && !value.length);
  if (isDefault) return choose(2) ? [field(id, type, value)] : [];
  const overwritten = type === 'string' ? 'old' : 1;
  return choose(4) === 1 && type !== 'bytes'
    ? [field(id, type, overwritten), field(id, type, value)]
    : [field(id, type, value)];
}

function mapField(
  id: number,
  entries: readonly (readonly [string, unknown])[],
  keyType: Scalar,
  valueType: Scalar,
  choose: Choose,
): Parts[] {
  return shuffled(entries, choose).map(([key, value]) => [
    nested(
      id,
      interleaved([scalarField(1, keyType, key, choose), scalarField(2, valueType, value, choose)], choose),
    ),
  ]);
}

const zigzag = (value: number) => (value << 1) ^ (value >> 31);

/** Encodes sint32 numbers, in packed groups or one by one. */
function tagParts(tags: readonly number[], choose: Choose): Parts {
  const parts: Parts = [];
  for (let rest = tags; rest.length > 0; ) {
    const count = choose(2) ? 1 : 1 + (choose === chooseUsual ? rest.length - 1 : choose(rest.length));
    const run = rest.slice(0, count);
    rest = rest.slice(count);
    const writer = protobuf.Writer.create();
    for (const tag of run) writer.uint32(zigzag(tag) >>> 0);
    const packed = nested(9, writer.finish());
    const single = Buffer.concat([
      protobuf.Writer.create()
        .uint32(9 << 3)
        .finish(),
      writer.finish(),
    ]);
    parts.push(count === 1 && choose(2) ? single : packed);
  }
  return parts;
}
