import { type DescExtension, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';

/** How regular an encoded message is: `irregular` bytes contain a known field with a wrong wire type. */
export type WireForm = 'regular' | 'irregular' | 'malformed';

const MAX_DEPTH = 100;
const LENGTH = 2;
const GROUP = 3;
const GROUP_END = 4;
const fixedSizes: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/**
 * Reads the wire format as its specification says. Common decoders are less strict: they read some malformed bytes, and
 * each reads them in its own way.
 */
export function wireForm(
  type: DescMessage,
  wire: Uint8Array,
  extensions: readonly DescExtension[] = [],
): WireForm {
  const check = new WireCheck(wire, extensions);
  try {
    check.message(type, 0, wire.length, 0);
  } catch {
    return 'malformed';
  }
  return check.isRegular ? 'regular' : 'irregular';
}

class WireCheck {
  isRegular = true;
  #at = 0;
  readonly #wire: Uint8Array;
  readonly #extensions: readonly DescExtension[];

  constructor(wire: Uint8Array, extensions: readonly DescExtension[]) {
    this.#wire = wire;
    this.#extensions = extensions;
  }

  /** @param group the field number of the message if it is a group, which ends with a tag. Otherwise undefined. */
  message(type: DescMessage | undefined, start: number, end: number, depth: number, group?: number): void {
    ensure(depth <= MAX_DEPTH);
    this.#at = start;
    while (this.#at < end) {
      const tag = this.#varint(end, 5);
      const [number, wireType] = [Number(tag >> 3n), Number(tag & 7n)];
      ensure(number > 0 && tag < 2n ** 32n);
      if (wireType === GROUP_END) {
        ensure(number === group);
        return;
      }
      this.#value(type && this.#field(type, number), number, wireType, end, depth);
    }
    ensure(group === undefined && this.#at === end);
  }

  #value(field: DescField | undefined, number: number, wireType: number, end: number, depth: number): void {
    const isKnown = field !== undefined && accepts(field, wireType);
    if (field && !isKnown) this.isRegular = false;
    const message = isKnown ? messageOf(field) : undefined;
    if (wireType === 0) this.#varint(end, 10);
    else if (wireType === GROUP) this.message(message, this.#at, end, depth + 1, number);
    else if (wireType === LENGTH) this.#delimited(isKnown ? field : undefined, message, end, depth);
    else this.#skip(fixedSizes[wireType] ?? Number.NaN, end);
  }

  #delimited(field: DescField | undefined, message: DescMessage | undefined, end: number, depth: number) {
    const length = Number(this.#varint(end, 5));
    const start = this.#at;
    this.#skip(length, end);
    const after = this.#at;
    if (field?.fieldKind === 'map') this.#entry(field, start, after, depth + 1);
    else if (message) this.message(message, start, after, depth + 1);
    else if (field?.fieldKind === 'list' && packedSize(field) !== undefined) {
      this.#at = start;
      const size = packedSize(field);
      while (this.#at < after) size === 0 ? this.#varint(after, 10) : this.#skip(size as number, after);
    }
    this.#at = after;
  }

  #entry(field: DescField & { fieldKind: 'map' }, start: number, end: number, depth: number): void {
    ensure(depth <= MAX_DEPTH);
    this.#at = start;
    const valueType = field.message ? LENGTH : wireTypeOf(field.scalar ?? ScalarType.INT32);
    while (this.#at < end) {
      const tag = this.#varint(end, 5);
      const [number, wireType] = [Number(tag >> 3n), Number(tag & 7n)];
      ensure(number > 0 && tag < 2n ** 32n && wireType !== GROUP_END);
      const expected = number === 1 ? wireTypeOf(field.mapKey) : number === 2 ? valueType : wireType;
      if (wireType !== expected) this.isRegular = false;
      const isMessage = number === 2 && wireType === expected && field.message;
      if (isMessage) this.#delimited(undefined, field.message, end, depth);
      else this.#value(undefined, number, wireType, end, depth);
    }
  }

  #field(type: DescMessage, number: number): DescField | undefined {
    const extension = this.#extensions.find((one) => one.extendee === type && one.number === number);
    return (extension as DescField | undefined) ?? type.fields.find((field) => field.number === number);
  }

  #varint(end: number, maxBytes: number): bigint {
    let value = 0n;
    for (let size = 0; size < maxBytes; size++) {
      ensure(this.#at < end);
      const byte = this.#wire[this.#at++] as number;
      value |= BigInt(byte & 127) << BigInt(7 * size);
      if (byte < 128) return value;
    }
    throw new Error('malformed');
  }

  #skip(count: number, end: number): void {
    ensure(this.#at + count <= end);
    this.#at += count;
  }
}

function ensure(holds: boolean): void {
  if (!holds) throw new Error('malformed');
}

const messageOf = (field: DescField) => (field.fieldKind === 'map' ? undefined : field.message);

function accepts(field: DescField, wireType: number): boolean {
  if (field.fieldKind === 'map') return wireType === LENGTH;
  if (field.message)
    return wireType === ('delimitedEncoding' in field && field.delimitedEncoding ? GROUP : LENGTH);
  const own = wireTypeOf(field.scalar ?? ScalarType.INT32);
  return wireType === own || (field.fieldKind === 'list' && wireType === LENGTH);
}

/** The size of a packed number: 0 for a varint. Undefined: texts and bytes are not packed. */
function packedSize(field: DescField): number | undefined {
  const own = wireTypeOf(field.scalar ?? ScalarType.INT32);
  return own === 0 ? 0 : fixedSizes[own];
}

function wireTypeOf(type: ScalarType): number {
  if (type === ScalarType.STRING || type === ScalarType.BYTES) return LENGTH;
  if ([ScalarType.DOUBLE, ScalarType.FIXED64, ScalarType.SFIXED64].includes(type)) return 1;
  return [ScalarType.FLOAT, ScalarType.FIXED32, ScalarType.SFIXED32].includes(type) ? 5 : 0;
}
