import * as z from 'zod';
import { id, printable, quantity, sku } from '../rpc/fields.js';
import { lines } from '../rpc/lines.js';

const SECOND = 1000;
const SHORTEST_HOLD = SECOND;
const LONGEST_HOLD = 24 * 3600 * SECOND;
const DEFAULT_HOLD = 15 * 60 * SECOND;
const HIGHEST_PRICE = 10n ** 12n;

// Compared as int64, since the sum of a far larger one is not exact as a number.
const holdMs = z
  .object({ seconds: z.string(), nanos: z.number() })
  .nullable()
  .transform((hold) =>
    hold ? BigInt(hold.seconds) * 1000n + BigInt(Math.floor(hold.nanos / 1e6)) : BigInt(DEFAULT_HOLD),
  )
  .refine((ms) => ms >= SHORTEST_HOLD && ms <= LONGEST_HOLD, 'must be 1 second to 24 hours')
  .transform(Number);

const unitPriceMinor = z
  .string()
  .transform(BigInt)
  .refine((price) => price >= 0n && price <= HIGHEST_PRICE, `must be 0 to ${HIGHEST_PRICE}`);

const currency = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code, three capital letters');

export const putItem = z.object({ sku, name: printable(1, 200), unitPriceMinor, currency });

export const receiveStock = z.object({ sku, quantity });

export const reserveStock = z.object({ lines, hold: holdMs });

export const oneReservation = z.object({ reservationId: id });

export const oneItem = z.object({ sku });
