import * as z from 'zod';

/** Most pieces of one sku in one call. */
export const MOST_PIECES = 1_000_000;

/** Text of `least` to `most` characters, none of them a control or format character. */
export function printable(least: number, most: number) {
  const pattern = new RegExp(`^[\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Zs}]{${least},${most}}$`, 'u');
  return z.string().regex(pattern, `must be ${least} to ${most} printable characters`);
}

/** An order's or a reservation's id. */
export const id = printable(1, 64);

export const sku = printable(1, 64);

export const quantity = z
  .number()
  .refine((pieces) => pieces >= 1 && pieces <= MOST_PIECES, `must be 1 to ${MOST_PIECES}`);
