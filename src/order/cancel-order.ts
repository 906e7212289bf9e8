import type { Database } from '../platform/database.js';
import type { Outbox } from '../platform/outbox.js';
import { ORDER_CANCELLED, orderCancelledPayload } from './events.js';
import { type Order, Orders } from './orders.js';

/**
 * Cancels an order and appends `order.cancelled`. For an order that is already cancelled it returns the order and
 * appends no event.
 * @throws ServiceError NOT_FOUND when the order does not exist
 */
export async function cancelOrder(
  { database, outbox }: { readonly database: Database; readonly outbox: Outbox },
  orderId: string,
  reason: string,
): Promise<Order> {
  const orders = new Orders(database);
  return database.transaction(async () => {
    const cancelled = await orders.cancel(orderId, reason);
    if (!cancelled) return orders.get(orderId);
    const payload = orderCancelledPayload(cancelled);
    await outbox.append({ aggregate: orderId, type: ORDER_CANCELLED, payload });
    return cancelled;
  });
}
