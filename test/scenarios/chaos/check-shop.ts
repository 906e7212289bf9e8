import type { ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import type { Receiver } from '../../helpers/servers/webhook-receiver.js';
import type { WantedOrder } from './order-clients.js';
import { checkStock } from './stock.js';

/** Asserts the final state: each order is placed once, its stock is taken, and its event is delivered everywhere. */
export async function checkShop(
  t: ExecutionContext,
  database: Database,
  receiver: Receiver,
  wantedOrders: readonly WantedOrder[],
): Promise<void> {
  await checkOrders(t, database, wantedOrders);
  await checkStock(t, database, wantedOrders);
  checkReceiver(t, receiver, await eventsOf(t, database, wantedOrders));
}

/** Compares orders by customer. The orders table has no unique index on the customer, so a duplicate would show. */
async function checkOrders(
  t: ExecutionContext,
  database: Database,
  wantedOrders: readonly WantedOrder[],
): Promise<void> {
  const orders = await database.query('SELECT customer_id, status, lines FROM orders');
  const placed = orders.map(({ customer_id, status, lines }) =>
    describeOrder(String(customer_id), String(status), JSON.parse(String(lines))),
  );
  const wanted = wantedOrders.map(({ customerId, lines }) =>
    describeOrder(
      customerId,
      'PLACED',
      lines.map(({ sku, quantity }) => [sku, quantity]),
    ),
  );
  t.deepEqual(placed.sort(), wanted.sort(), 'each order once, with its lines');
  const reservations = await database.query(
    `SELECT r.state, COUNT(*) AS n, COUNT(o.order_id) AS ordered FROM inventory_reservations AS r
     LEFT JOIN orders AS o ON o.reservation_id = r.reservation_id GROUP BY r.state`,
  );
  const all = BigInt(wantedOrders.length);
  t.deepEqual(reservations, [{ state: 'CONFIRMED', n: all, ordered: all }], 'a reservation for each order');
}

/** @param lines each with a sku, a quantity and possibly more values */
function describeOrder(customerId: string, status: string, lines: readonly (readonly unknown[])[]): string {
  const pieces = lines.map(([sku, quantity]) => `${quantity} ${sku}`);
  return `${customerId}: ${status} ${pieces.sort().join(', ')}`;
}

/** Returns the event ids. Asserts that each order has one event, delivered to both destinations. */
async function eventsOf(
  t: ExecutionContext,
  database: Database,
  wantedOrders: readonly WantedOrder[],
): Promise<string[]> {
  const rows = await database.query(
    `SELECT e.event_id, o.order_id FROM replay_guard_outbox AS e
     LEFT JOIN orders AS o ON o.order_id = e.aggregate
     WHERE e.type = 'order.placed' AND e.ended_at IS NOT NULL AND e.dead_at IS NULL
     GROUP BY e.event_id, o.order_id HAVING COUNT(*) = 2`,
  );
  const [count] = await database.query('SELECT COUNT(*) AS n FROM replay_guard_outbox');
  t.is(count?.n, 2n * BigInt(wantedOrders.length), 'one event for each order, to two destinations');
  t.is(
    new Set(rows.map(({ order_id }) => order_id)).size,
    wantedOrders.length,
    'delivered to all destinations',
  );
  return rows.map(({ event_id }) => String(event_id));
}

/** Asserts that the receiver got each event at least once with equal bodies, and no other event. */
function checkReceiver(t: ExecutionContext, { received, forged }: Receiver, events: readonly string[]): void {
  t.is(forged, 0, 'every signature is valid');
  const bodies = new Map(received.map(({ id, body }) => [id, body]));
  t.deepEqual([...bodies.keys()].sort(), [...events].sort(), 'each event, and no other');
  t.true(
    received.every(({ id, body }) => bodies.get(id) === body),
    'one body for each event',
  );
}
