import * as z from 'zod';

/** The largest value of an int64 field, and of a BIGINT column. */
export const MAX_INT64 = 2n ** 63n - 1n;

/** The maximum quantity of one sku in one call. */
export const MAX_QUANTITY = 1_000_000;

/** Text of `min` to `max` characters, without control and format characters. */
export function printable(min: number, max: number) {
  const pattern = new RegExp(`^[\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Zs}]{${min},${max}}$`, 'u');
  return z.string().regex(pattern, `must be ${min} to ${max} printable characters`);
}

/** The id of an order or of a reservation. */
export const id = printable(1, 64);

/** The stock keeping unit: the id of an item. */
export const sku = printable(1, 64);

/** The quantity of one line, in pieces. */
export const quantity = z
  .number()
  .refine((pieces) => pieces >= 1 && pieces <= MAX_QUANTITY, `must be 1 to ${MAX_QUANTITY}`);
