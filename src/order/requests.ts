import * as z from 'zod';
import { id, printable } from '../rpc/fields.js';
import { lines } from '../rpc/lines.js';
import { positionOf } from './page-token.js';

const MAX_LABELS = 32;
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 100;

const customerId = printable(1, 128);
const labelKey = printable(1, 63);
const labelValue = printable(0, 255);

const labels = z
  .record(z.string(), z.string())
  .refine((given) => Object.keys(given).length <= MAX_LABELS, {
    error: `must be at most ${MAX_LABELS} labels`,
    abort: true,
  })
  .superRefine((given, context) => {
    const report = (message: string) => context.addIssue({ code: 'custom', message });
    for (const [key, value] of Object.entries(given)) {
      if (!labelKey.safeParse(key).success) report('a key must be 1 to 63 printable characters');
      // Shortened, because the caller's text must not fill the trailers.
      const name = JSON.stringify(key.slice(0, 63));
      if (!labelValue.safeParse(value).success) report(`${name} must be at most 255 printable characters`);
    }
  });

// People write the reason, so it may have several lines.
const reason = z
  .string()
  .regex(/^(?:[^\p{Cc}]|[\n\r\t]){0,500}$/u, 'must be at most 500 characters, no control characters');

const pageSize = z
  .number()
  .refine((size) => size >= 0, `must be 0 to ${MAX_PAGE_SIZE}`)
  .transform((size) => Math.min(size || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE));

/** The fields of PlaceOrderRequest. */
export const placeOrder = z.object({ customerId, lines, labels });

/** The fields of CancelOrderRequest. */
export const cancelOrder = z.object({ orderId: id, reason });

/** The fields of GetOrderRequest. */
export const getOrder = z.object({ orderId: id });

/** The fields of ListOrdersRequest, with the position of the page token. */
export const listOrders = z
  .object({ customerId, pageSize, pageToken: z.string() })
  .transform((request, context) => {
    const position = positionOf(request.pageToken, request.customerId);
    if (position) return { ...request, position };
    const message = 'must be a next_page_token of the same list';
    context.addIssue({ code: 'custom', path: ['pageToken'], message });
    return z.NEVER;
  });
