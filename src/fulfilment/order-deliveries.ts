import { status } from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';
import { type Attempt, type Delivery, type OutboxEvent, UndeliverableError } from 'grpc-replay-guard/outbox';
import { cancelOrder } from '../order/cancel-order.js';
import { ORDER_CANCELLED, ORDER_PLACED, orderCancelled, orderPlaced } from '../order/events.js';
import type { Reservation } from '../order/inventory.js';
import type { Outbox } from '../platform/outbox.js';
import { ServiceError } from '../rpc/service-error.js';
import type { ChangeAttempt, InventoryClient } from './inventory-client.js';

/** The options of `createOrderDeliveries`. */
export interface OrderDeliveriesOptions {
  readonly database: Database;
  readonly inventory: InventoryClient;
  readonly outbox: Outbox;
}

/** With sequential calls, the restock of a long order at a remote inventory would exceed the time of one attempt. */
const MAX_CONCURRENT_LINES = 8;
/** An inventory may limit a caller's concurrent calls. Each later attempt halves the number of calls, down to 1. */
const HALVINGS = 3;

/** Makes the deliveries of order events to the inventory. Every call has a key made from the event's id. */
export function createOrderDeliveries(options: OrderDeliveriesOptions): Record<string, Delivery> {
  return {
    [ORDER_PLACED]: (event, attempt) => confirm(options, event, attempt),
    [ORDER_CANCELLED]: (event, attempt) => releaseOrRestock(options.inventory, event, attempt),
  };
}

/** Why the inventory refused a change: the state of the reservation, or UNKNOWN if it has no such reservation. */
type Obstacle = Exclude<Reservation['state'], 'HELD'> | 'UNKNOWN';

const CANCEL_REASONS: Partial<Record<Obstacle, string>> = {
  RELEASED: 'the reservation was released before it was confirmed',
  EXPIRED: 'the reservation expired before it was confirmed',
  UNKNOWN: 'the inventory does not know the reservation',
};

/** Confirms the reservation of an order. If the reservation has ended, the order is cancelled. */
async function confirm(options: OrderDeliveriesOptions, event: OutboxEvent, attempt: Attempt): Promise<void> {
  const { orderId, reservationId } = orderPlaced.parse(event.payload);
  const { inventory } = options;
  const obstacle = await obstacleTo(inventory, reservationId, () =>
    inventory.confirm(reservationId, change(event.id, attempt)),
  );
  const reason = obstacle && CANCEL_REASONS[obstacle];
  if (reason) await cancelOrder(options, orderId, reason);
}

/** Releases the reservation of a cancelled order, or restocks the lines of a confirmed reservation. */
async function releaseOrRestock(
  inventory: InventoryClient,
  event: OutboxEvent,
  attempt: Attempt,
): Promise<void> {
  const { reservationId, lines } = orderCancelled.parse(event.payload);
  const obstacle = await obstacleTo(inventory, reservationId, () =>
    inventory.release(reservationId, change(event.id, attempt)),
  );
  if (obstacle !== 'CONFIRMED') return;
  const restock = ({ sku, quantity }: (typeof lines)[number], index: number) =>
    // The key has the index of the line, because a sku may have characters that a key must not have.
    inventory.receiveStock(sku, quantity, change(`${event.id}:${index}`, attempt)).catch(throwFinal);
  // After the smallest number, the next attempt uses the full number again, which a long order needs.
  const concurrency = MAX_CONCURRENT_LINES >> ((attempt.number - 1) % (HALVINGS + 1));
  for (let start = 0; start < lines.length; start += concurrency) {
    const batch = lines.slice(start, start + concurrency);
    await allOf(batch.map((line, offset) => restock(line, start + offset)));
  }
}

/** Waits for all work, also after a failure, and then throws the first failure. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

function change(key: string, { firstAt, signal }: Attempt): ChangeAttempt {
  return { key, firstAt, signal };
}

/** Makes the change and returns undefined, or returns the obstacle if the inventory refuses the change. */
async function obstacleTo(
  inventory: InventoryClient,
  reservationId: string,
  makeChange: () => Promise<Reservation>,
): Promise<Obstacle | undefined> {
  try {
    await makeChange();
    return undefined;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (error.code === status.NOT_FOUND) return 'UNKNOWN';
    if (error.code !== status.FAILED_PRECONDITION) return throwFinal(error);
    const { state } = await inventory.getReservation(reservationId);
    // The state is not the reason for the refusal, so a later attempt may succeed.
    if (state === 'HELD') throw error;
    return state;
  }
}

/** RESOURCE_EXHAUSTED: this server has reached a quota at the inventory. */
const TRANSIENT_CODES = [status.UNAVAILABLE, status.RESOURCE_EXHAUSTED];

/** The inventory keeps a definite refusal under the key, so a later attempt would get the same refusal. */
function throwFinal(error: unknown): never {
  const isFinal = error instanceof ServiceError && !TRANSIENT_CODES.includes(error.code);
  throw isFinal ? new UndeliverableError('the inventory refused the change', { cause: error }) : error;
}
