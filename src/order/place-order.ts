import { status } from '@grpc/grpc-js';
import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { Ids } from '../platform/ids.js';
import type { Outbox } from '../platform/outbox.js';
import { MAX_INT64 } from '../rpc/fields.js';
import type { Line } from '../rpc/lines.js';
import { alreadyExists, failedPrecondition, outOfRange, ServiceError } from '../rpc/service-error.js';
import { ORDER_PLACED, orderPlacedPayload } from './events.js';
import type { Inventory, PricedLine, Reservation } from './inventory.js';
import { type Order, Orders } from './orders.js';

/** The options of `placeOrder`. */
export interface PlaceOrderOptions {
  readonly database: Database;
  readonly inventory: Inventory;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly ids: Ids;
  /** How long the stock is held until the order is confirmed, in milliseconds. */
  readonly holdMs: number;
}

/** The valid request for an order. */
export interface NewOrder {
  readonly customerId: string;
  readonly lines: readonly Line[];
  readonly labels: Readonly<Record<string, string>>;
}

// Calls are retried for a day at most. In a day about 100 holds of 15 minutes expire.
const MAX_RESERVATIONS = 100;

/**
 * Reserves the stock, then writes the order and `order.placed` in one transaction. If the order is not written, the
 * hold expires.
 * @throws ServiceError ORDER_EXISTS, MIXED_CURRENCIES, TOTAL_OUT_OF_RANGE, or the refusal of the inventory
 */
export async function placeOrder(options: PlaceOrderOptions, newOrder: NewOrder): Promise<Order> {
  const { database, clock, ids, inventory } = options;
  const orderId = ids.next('order');
  const [currency] = await Promise.all([
    commonCurrency(inventory, newOrder.lines),
    assertNew(new Orders(database), orderId),
  ]);
  const { reservationId, lines } = await reserve(options, newOrder.lines);
  const totalMinor = await totalOrRelease(inventory, reservationId, lines);
  const { customerId, labels } = newOrder;
  const createdAt = BigInt(clock.now());
  const order = { orderId, customerId, lines, totalMinor, currency, reservationId, createdAt, labels };
  return write(options, { ...order, status: 'PLACED' });
}

/** Writes the order and its event. If this fails, the reservation stays, and a retry of the call uses it. */
async function write({ database, outbox }: PlaceOrderOptions, order: Order): Promise<Order> {
  return database.transaction(async () => {
    await new Orders(database).add(order);
    const payload = orderPlacedPayload(order);
    await outbox.append({ aggregate: order.orderId, type: ORDER_PLACED, payload });
    return order;
  });
}

/** An operation may be retried after its record has expired. This check prevents a second order. */
async function assertNew(orders: Orders, orderId: string): Promise<void> {
  if (!(await orders.find(orderId))) return;
  throw alreadyExists('ORDER_EXISTS', 'this order was placed before', { order_id: orderId });
}

async function commonCurrency(inventory: Inventory, lines: readonly Line[]): Promise<string> {
  const currencies = new Set(await Promise.all(lines.map(({ sku }) => inventory.currencyOf(sku))));
  const [currency, ...others] = [...currencies].sort();
  if (currency && others.length === 0) return currency;
  const metadata = { currencies: [...currencies].sort().join(',') };
  throw failedPrecondition('MIXED_CURRENCIES', 'the items have different currencies', metadata);
}

/** A retried call first gets the reservations of its earlier attempts. Those reservations may have ended. */
async function reserve(
  { inventory, holdMs }: PlaceOrderOptions,
  lines: readonly Line[],
): Promise<Reservation> {
  for (let attempt = 0; attempt < MAX_RESERVATIONS; attempt++) {
    const reservation = await inventory.reserve(lines, holdMs).catch(ignoreAlreadyExists);
    if (reservation?.state === 'HELD') return reservation;
  }
  throw new ServiceError(status.UNAVAILABLE, 'every reservation of this order has ended, try again');
}

function ignoreAlreadyExists(error: unknown): undefined {
  if (!(error instanceof ServiceError) || error.code !== status.ALREADY_EXISTS) throw error;
}

/**
 * Returns the total, or releases the reservation if the total is too large. It runs before the transaction, so that
 * no transaction is open during a call to the inventory.
 */
async function totalOrRelease(
  inventory: Inventory,
  reservationId: string,
  lines: readonly PricedLine[],
): Promise<bigint> {
  const total = lines.reduce((sum, line) => sum + BigInt(line.quantity) * line.unitPriceMinor, 0n);
  if (total <= MAX_INT64) return total;
  // If the release fails, the hold expires.
  await inventory.release(reservationId).catch(() => {});
  throw outOfRange('TOTAL_OUT_OF_RANGE', 'the total is too large', { total_minor: String(total) });
}
