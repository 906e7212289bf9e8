import * as z from 'zod';
import type { Order } from './orders.js';

/** The event type of a placed order. Its reservation must be confirmed. */
export const ORDER_PLACED = 'order.placed';

/** The event type of a cancelled order. Its stock must be released. */
export const ORDER_CANCELLED = 'order.cancelled';

/** The payload of `order.placed`. */
export const orderPlaced = z.object({ orderId: z.string(), reservationId: z.string() });

/** The payload of `order.cancelled`. */
export const orderCancelled = z.object({
  orderId: z.string(),
  reservationId: z.string(),
  lines: z.array(z.object({ sku: z.string(), quantity: z.number() })),
});

/** Makes the payload of `order.placed`. */
export function orderPlacedPayload({ orderId, reservationId }: Order): z.input<typeof orderPlaced> {
  return { orderId, reservationId };
}

/** Makes the payload of `order.cancelled`. */
export function orderCancelledPayload(order: Order): z.input<typeof orderCancelled> {
  const lines = order.lines.map(({ sku, quantity }) => ({ sku, quantity }));
  return { orderId: order.orderId, reservationId: order.reservationId, lines };
}
