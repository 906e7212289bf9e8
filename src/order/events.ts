import * as z from 'zod';
import type { Order } from './orders.js';

/** An order was placed on a reservation that waits to be confirmed. */
export const ORDER_PLACED = 'order.placed';

/** An order was cancelled; its stock is to be given back. */
export const ORDER_CANCELLED = 'order.cancelled';

export const orderPlaced = z.object({ orderId: z.string(), reservationId: z.string() });

export const orderCancelled = z.object({
  orderId: z.string(),
  reservationId: z.string(),
  lines: z.array(z.object({ sku: z.string(), quantity: z.number() })),
});

export function orderPlacedPayload({ orderId, reservationId }: Order): z.input<typeof orderPlaced> {
  return { orderId, reservationId };
}

export function orderCancelledPayload(order: Order): z.input<typeof orderCancelled> {
  const lines = order.lines.map(({ sku, quantity }) => ({ sku, quantity }));
  return { orderId: order.orderId, reservationId: order.reservationId, lines };
}
