import { status } from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';
import { type Attempt, type Delivery, type OutboxEvent, UndeliverableError } from 'grpc-replay-guard/outbox';
import { cancelOrder } from '../order/cancel-order.js';
import { ORDER_CANCELLED, ORDER_PLACED, orderCancelled, orderPlaced } from '../order/events.js';
import type { Reservation } from '../order/inventory.js';
import type { Outbox } from '../platform/outbox.js';
import { ServiceError } from '../rpc/service-error.js';
import type { ChangeAttempt, InventoryClient } from './inventory-client.js';

export interface OrderDeliveriesOptions {
  readonly database: Database;
  readonly inventory: InventoryClient;
  readonly outbox: Outbox;
}

/** Line after line, a long order's restock would never fit into one attempt where the inventory is far away. */
const LINES_AT_ONCE = 8;
/** An inventory may let fewer of a caller's calls in at once: each later attempt asks for half as many, down to one. */
const HALVINGS = 3;

/** What the events of orders make of their reservations. Safe to repeat: every call has the event's key. */
export function createOrderDeliveries(options: OrderDeliveriesOptions): Record<string, Delivery> {
  return {
    [ORDER_PLACED]: (event, attempt) => confirm(options, event, attempt),
    [ORDER_CANCELLED]: (event, attempt) => giveBack(options.inventory, event, attempt),
  };
}

/** Why the inventory did not do what it was asked to: the state of the reservation, or that there is none. */
type Obstacle = Exclude<Reservation['state'], 'HELD'> | 'UNKNOWN';

const reasons: Partial<Record<Obstacle, string>> = {
  RELEASED: 'the reservation was released before it was confirmed',
  EXPIRED: 'the reservation expired before it was confirmed',
  UNKNOWN: 'the inventory does not know the reservation',
};

/** An order that cannot have its stock any more is cancelled. */
async function confirm(options: OrderDeliveriesOptions, event: OutboxEvent, attempt: Attempt): Promise<void> {
  const { orderId, reservationId } = orderPlaced.parse(event.payload);
  const { inventory } = options;
  const obstacle = await obstacleTo(inventory, reservationId, () =>
    inventory.confirm(reservationId, change(event.id, attempt)),
  );
  const reason = obstacle && reasons[obstacle];
  if (reason) await cancelOrder(options, orderId, reason);
}

async function giveBack(inventory: InventoryClient, event: OutboxEvent, attempt: Attempt): Promise<void> {
  const { reservationId, lines } = orderCancelled.parse(event.payload);
  const obstacle = await obstacleTo(inventory, reservationId, () =>
    inventory.release(reservationId, change(event.id, attempt)),
  );
  if (obstacle !== 'CONFIRMED') return;
  const restock = ({ sku, quantity }: (typeof lines)[number], index: number) =>
    // By its place in the event: a sku may have characters that a key may not.
    inventory.receiveStock(sku, quantity, change(`${event.id}:${index}`, attempt)).catch(throwFinal);
  // And then for all again, as a long order needs it.
  const atOnce = LINES_AT_ONCE >> ((attempt.number - 1) % (HALVINGS + 1));
  for (let from = 0; from < lines.length; from += atOnce) {
    const some = lines.slice(from, from + atOnce);
    await allOf(some.map((line, place) => restock(line, from + place)));
  }
}

/** Nobody is left behind who is still at it. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const ended = await Promise.allSettled(work);
  const failed = ended.find((each) => each.status === 'rejected');
  if (failed) throw failed.reason;
}

function change(key: string, { firstAt, signal }: Attempt): ChangeAttempt {
  return { key, firstAt, signal };
}

async function obstacleTo(
  inventory: InventoryClient,
  reservationId: string,
  attempt: () => Promise<Reservation>,
): Promise<Obstacle | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (error.code === status.NOT_FOUND) return 'UNKNOWN';
    if (error.code !== status.FAILED_PRECONDITION) return throwFinal(error);
    const { state } = await inventory.getReservation(reservationId);
    // Refused for another reason than its state: to be tried again.
    if (state === 'HELD') throw error;
    return state;
  }
}

/** A refusal under the event's key is given again at every attempt. */
function throwFinal(error: unknown): never {
  const isFinal = error instanceof ServiceError && error.code !== status.UNAVAILABLE;
  throw isFinal ? new UndeliverableError('the inventory refuses it', { cause: error }) : error;
}
