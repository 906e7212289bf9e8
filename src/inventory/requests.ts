import * as z from 'zod';
import { id, printable, quantity, sku } from '../rpc/fields.js';
import { lines } from '../rpc/lines.js';

const SECOND_MS = 1000;
const MIN_HOLD_MS = SECOND_MS;
const MAX_HOLD_MS = 24 * 3600 * SECOND_MS;
const DEFAULT_HOLD_MS = 15 * 60 * SECOND_MS;
const MAX_PRICE = 10n ** 12n;

// The comparison uses BigInt, because a number cannot represent every int64 exactly.
const holdMs = z
  .object({ seconds: z.string(), nanos: z.number() })
  .nullable()
  .transform((hold) =>
    hold ? BigInt(hold.seconds) * 1000n + BigInt(Math.floor(hold.nanos / 1e6)) : BigInt(DEFAULT_HOLD_MS),
  )
  .refine((ms) => ms >= MIN_HOLD_MS && ms <= MAX_HOLD_MS, 'must be 1 second to 24 hours')
  .transform(Number);

const unitPriceMinor = z
  .string()
  .transform(BigInt)
  .refine((price) => price >= 0n && price <= MAX_PRICE, `must be 0 to ${MAX_PRICE}`);

const currency = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code, three capital letters');

/** The fields of PutItemRequest. */
export const putItem = z.object({ sku, name: printable(1, 200), unitPriceMinor, currency });

/** The fields of ReceiveStockRequest. */
export const receiveStock = z.object({ sku, quantity });

/** The fields of ReserveStockRequest. The hold is in milliseconds. */
export const reserveStock = z.object({ lines, hold: holdMs });

/** The fields of a request that names one reservation. */
export const oneReservation = z.object({ reservationId: id });

/** The fields of a request that names one item. */
export const oneItem = z.object({ sku });
