import { status } from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard';
import type { InventoryClient } from './inventory-client.js';
import { cancelOrder } from './order/cancel-order.js';
import { ORDER_CANCELLED, ORDER_PLACED, orderCancelled, orderPlaced } from './order/events.js';
import type { Reservation } from './order/inventory.js';
import type { Deliveries, OutboxEvent } from './outbox/event.js';
import type { Outbox } from './outbox/outbox.js';
import { ServiceError } from './rpc/service-error.js';

export interface OrderDeliveriesOptions {
  readonly database: Database;
  readonly inventory: InventoryClient;
  readonly outbox: Outbox;
}

/** What the events of orders make of their reservations. Safe to repeat: every call has the event's key. */
export function createOrderDeliveries(options: OrderDeliveriesOptions): Deliveries {
  return {
    [ORDER_PLACED]: (event) => confirm(options, event),
    [ORDER_CANCELLED]: (event) => giveBack(options.inventory, event),
  };
}

async function confirm(options: OrderDeliveriesOptions, event: OutboxEvent): Promise<void> {
  const { orderId, reservationId } = orderPlaced.parse(event.payload);
  const { inventory } = options;
  const ended = await refusal(inventory, reservationId, () =>
    inventory.confirm(reservationId, event.eventId),
  );
  if (ended === 'RELEASED' || ended === 'EXPIRED') {
    await cancelOrder(options, orderId, `the reservation was ${ended.toLowerCase()} before it was confirmed`);
  }
}

async function giveBack(inventory: InventoryClient, event: OutboxEvent): Promise<void> {
  const { reservationId, lines } = orderCancelled.parse(event.payload);
  const ended = await refusal(inventory, reservationId, () =>
    inventory.release(reservationId, event.eventId),
  );
  if (ended !== 'CONFIRMED') return;
  for (const [index, { sku, quantity }] of lines.entries()) {
    // By its place in the event: a sku may have characters that a key may not.
    await inventory.receiveStock(sku, quantity, `${event.eventId}:${index}`);
  }
}

/** The state that a reservation refused the change in; undefined if it did not refuse. */
async function refusal(
  inventory: InventoryClient,
  reservationId: string,
  change: () => Promise<Reservation>,
): Promise<Reservation['state'] | undefined> {
  try {
    await change();
    return undefined;
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== status.FAILED_PRECONDITION) throw error;
    const { state } = await inventory.getReservation(reservationId);
    // Refused for another reason than its state: to be tried again.
    if (state === 'HELD') throw error;
    return state;
  }
}
