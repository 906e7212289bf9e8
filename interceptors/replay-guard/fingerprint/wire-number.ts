import type { WireReader } from '../../wire/wire-reader.js';
import type { Scalar } from '../descriptors/message-schema.js';

/**
 * Reads a number with its original bits.
 * @returns the number of bytes
 */
export function readNumber(reader: WireReader, wireType: number): number {
  if (wireType === 0) return reader.varint();
  if (wireType === 1) reader.fixed64();
  else reader.fixed32();
  return wireType === 1 ? 8 : 4;
}

/** Reads a number. Replaces its bits in the reader with the bits that a conforming encoder writes. */
export function readCanonicalNumber(reader: WireReader, wireType: number, scalar: Scalar): void {
  readNumber(reader, wireType);
  const { low, high } = reader;
  if (scalar === 'bool') set(reader, low === 0 && high === 0 ? 0 : 1, 0);
  else if (scalar === 'int32') set(reader, low, low >> 31);
  else if (scalar === 'uint32' || scalar === 'sint32') set(reader, low, 0);
  // Handlers cannot distinguish NaN values, so all NaN values receive the same bits.
  else if (scalar === 'float' && (low & ~SIGN) > FLOAT_INFINITY) set(reader, FLOAT_NAN, 0);
  else if (scalar === 'double' && isDoubleNaN(low, high & ~SIGN)) set(reader, 0, DOUBLE_NAN);
}

const SIGN = 0x80000000;
const FLOAT_INFINITY = 0x7f800000;
const FLOAT_NAN = 0x7fc00000;
const DOUBLE_INFINITY = 0x7ff00000;
const DOUBLE_NAN = 0x7ff80000;

const isDoubleNaN = (low: number, high: number) =>
  high > DOUBLE_INFINITY || (high === DOUBLE_INFINITY && low !== 0);

function set(reader: WireReader, low: number, high: number): void {
  reader.low = low;
  reader.high = high;
}
