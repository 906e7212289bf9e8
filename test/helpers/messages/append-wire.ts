import protobuf from 'protobufjs';

/** One AppendRequest as a plain value, from which every way to write it on the wire is made. */
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

export interface LineModel {
  readonly sku: string;
  readonly quantity: number;
}

export interface DetailModel {
  readonly text: string;
  readonly counts: readonly (readonly [string, number])[];
}

export const emptyAppend: AppendModel = {
  ...{ account: '', amountMinor: 0, labels: [], details: [], source: undefined, note: undefined },
  ...{ lines: [], tags: [], data: new Uint8Array(), kind: 0, rate: 0, booked: undefined },
};

/** Decides between `options` equal ways to write something: a number from 0 to `options - 1`. */
export type Choose = (options: number) => number;

/** The plain way: fields in order, defaults left out, numbers packed. */
export const plainly: Choose = () => 0;

type Scalar = 'string' | 'int64' | 'uint32' | 'int32' | 'bytes' | 'double';
/** The parts of one field; those of a list keep their order. */
type Parts = Uint8Array[];

/** Writes the model in one of the ways that mean the same. */
export function encodeAppend(model: AppendModel, choose: Choose): Buffer {
  const scalar = (id: number, type: Scalar, value: unknown) => scalarField(id, type, value, choose);
  const line = ({ sku, quantity }: LineModel) =>
    woven([scalar(1, 'string', sku), scalar(2, 'uint32', quantity)], choose);
  const detail = ({ text, counts }: DetailModel) =>
    woven([scalar(1, 'string', text), ...mapField(2, counts, 'string', 'int64', choose)], choose);
  const source = model.source;
  return Buffer.from(
    woven(
      [
        scalar(1, 'string', model.account),
        scalar(2, 'int64', model.amountMinor),
        ...mapField(3, model.labels, 'string', 'string', choose),
        ...shuffled(model.details, choose).map(([key, value]) => [
          nested(4, woven([[field(1, 'int32', key)], [nested(2, detail(value))]], choose)),
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
  return woven([scalar(1, 'int64', seconds), scalar(2, 'int32', nanos)], choose);
}

const wireTypes: Record<Scalar, number> = { string: 2, int64: 0, uint32: 0, int32: 0, bytes: 2, double: 1 };

/** One field, tag and value. */
export function field(id: number, type: Scalar, value: unknown): Uint8Array {
  const writer = protobuf.Writer.create().uint32((id << 3) | wireTypes[type]);
  (writer[type] as (value: unknown) => protobuf.Writer)(value);
  return writer.finish();
}

/** One field that holds a message, or anything else that is written with its length. */
export function nested(id: number, content: Uint8Array): Uint8Array {
  return protobuf.Writer.create()
    .uint32((id << 3) | 2)
    .bytes(content)
    .finish();
}

/** A field without presence: its default may be written or left out; what is overwritten does not count. */
function scalarField(id: number, type: Scalar, value: unknown, choose: Choose): Parts {
  const isDefault = value === '' || Object.is(value, 0) || (value instanceof Uint8Array && !value.length);
  if (isDefault) return choose(2) ? [field(id, type, value)] : [];
  const before = type === 'string' ? 'old' : 1;
  return choose(4) === 1 && type !== 'bytes'
    ? [field(id, type, before), field(id, type, value)]
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
      woven([scalarField(1, keyType, key, choose), scalarField(2, valueType, value, choose)], choose),
    ),
  ]);
}

const zigzag = (value: number) => (value << 1) ^ (value >> 31);

/** sint32, in packed runs or one by one. */
function tagParts(tags: readonly number[], choose: Choose): Parts {
  const parts: Parts = [];
  for (let rest = tags; rest.length > 0; ) {
    const count = choose(2) ? 1 : 1 + (choose === plainly ? rest.length - 1 : choose(rest.length));
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

/** All parts, fields in any order, the parts of one field in theirs. */
function woven(fields: readonly Parts[], choose: Choose): Uint8Array {
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
