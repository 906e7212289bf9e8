import { status } from '@grpc/grpc-js';
import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { Ids } from '../platform/ids.js';
import type { Outbox } from '../platform/outbox.js';
import { MAX_INT64 } from '../rpc/int64.js';
import type { Line } from '../rpc/lines.js';
import { alreadyExists, failedPrecondition, outOfRange, ServiceError } from '../rpc/service-error.js';
import { ORDER_PLACED, orderPlacedPayload } from './events.js';
import type { Inventory, PricedLine, Reservation } from './inventory.js';
import { type Order, Orders } from './orders.js';

export interface PlacingOptions {
  readonly database: Database;
  readonly inventory: Inventory;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly ids: Ids;
  /** How long the stock is held for the order to be confirmed, in milliseconds. */
  readonly hold: number;
}

export interface NewOrder {
  readonly customerId: string;
  readonly lines: readonly Line[];
  readonly labels: Readonly<Record<string, string>>;
}

// As many holds of the default 15 minutes as run out in a day, the time for which calls are retried.
const MOST_RESERVATIONS = 100;

/**
 * Reserves the stock, then writes the order and `order.placed` in one transaction. An order that is never
 * written leaves a hold that expires.
 * @throws ServiceError ALREADY_EXISTS, MIXED_CURRENCIES, TOTAL_OUT_OF_RANGE, or what the inventory refused
 */
export async function placeOrder(options: PlacingOptions, wanted: NewOrder): Promise<Order> {
  const { database, clock, ids, inventory } = options;
  const orderId = ids.next('order');
  const [currency] = await Promise.all([
    commonCurrency(inventory, wanted.lines),
    assertNew(new Orders(database), orderId),
  ]);
  const { reservationId, lines } = await reserve(options, wanted.lines);
  const totalMinor = await totalOrRelease(inventory, reservationId, lines);
  const { customerId, labels } = wanted;
  const createdAt = BigInt(clock.now());
  const order = { orderId, customerId, lines, totalMinor, currency, reservationId, createdAt, labels };
  return write(options, { ...order, status: 'PLACED' });
}

/** If this fails the reservation stays: whoever retries the call is given it again. */
async function write({ database, outbox }: PlacingOptions, order: Order): Promise<Order> {
  return database.transaction(async () => {
    await new Orders(database).add(order);
    const payload = orderPlacedPayload(order);
    await outbox.append({ aggregate: order.orderId, type: ORDER_PLACED, payload });
    return order;
  });
}

/** The id of an operation may come again long after its answer was forgotten: that is no second order. */
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

/** A retried call is first given the reservations of its earlier attempts, which may have ended since. */
async function reserve({ inventory, hold }: PlacingOptions, lines: readonly Line[]): Promise<Reservation> {
  for (let attempt = 0; attempt < MOST_RESERVATIONS; attempt++) {
    const reservation = await inventory.reserve(lines, hold).catch(undefinedIfMade);
    if (reservation?.state === 'HELD') return reservation;
  }
  throw new ServiceError(status.UNAVAILABLE, 'no reservation lasted, try again');
}

function undefinedIfMade(error: unknown): undefined {
  if (!(error instanceof ServiceError) || error.code !== status.ALREADY_EXISTS) throw error;
}

/** Before anything is written, so that no transaction is open while the inventory is asked. */
async function totalOrRelease(
  inventory: Inventory,
  reservationId: string,
  lines: readonly PricedLine[],
): Promise<bigint> {
  const total = lines.reduce((sum, line) => sum + BigInt(line.quantity) * line.unitPriceMinor, 0n);
  if (total <= MAX_INT64) return total;
  // The hold runs out by itself if this fails.
  await inventory.release(reservationId).catch(() => {});
  throw outOfRange('TOTAL_OUT_OF_RANGE', 'the total is too large', { total_minor: String(total) });
}
