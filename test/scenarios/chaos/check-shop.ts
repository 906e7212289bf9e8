import type { ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import type { Receiver } from '../../helpers/servers/webhook-receiver.js';
import type { Wish } from './order-clients.js';
import { checkStock } from './stock.js';

/** What the shop has to have in the end: each order once, its stock taken, its event delivered everywhere. */
export async function checkOutcome(
  t: ExecutionContext,
  database: Database,
  receiver: Receiver,
  wishes: readonly Wish[],
): Promise<void> {
  await checkOrders(t, database, wishes);
  await checkStock(t, database, wishes);
  checkReceiver(t, receiver, await eventsOf(t, database, wishes));
}

/** By the customers, whom no index keeps from ordering twice. */
async function checkOrders(t: ExecutionContext, database: Database, wishes: readonly Wish[]): Promise<void> {
  const orders = await database.query('SELECT customer_id, status, lines FROM orders');
  const placed = orders.map(({ customer_id, status, lines }) =>
    described(String(customer_id), String(status), JSON.parse(String(lines))),
  );
  const wanted = wishes.map(({ customerId, lines }) =>
    described(
      customerId,
      'PLACED',
      lines.map(({ sku, quantity }) => [sku, quantity]),
    ),
  );
  t.deepEqual(placed.sort(), wanted.sort(), 'each order once, as it was wanted');
  const reservations = await database.query(
    `SELECT r.state, COUNT(*) AS n, COUNT(o.order_id) AS ordered FROM inventory_reservations AS r
     LEFT JOIN orders AS o ON o.reservation_id = r.reservation_id GROUP BY r.state`,
  );
  const all = BigInt(wishes.length);
  t.deepEqual(reservations, [{ state: 'CONFIRMED', n: all, ordered: all }], 'a reservation for each order');
}

/** @param lines each a sku and a quantity, and perhaps more */
function described(customerId: string, status: string, lines: readonly (readonly unknown[])[]): string {
  const pieces = lines.map(([sku, quantity]) => `${quantity} ${sku}`);
  return `${customerId}: ${status} ${pieces.sort().join(', ')}`;
}

/** The ids of the events, one for each order and everywhere delivered. */
async function eventsOf(t: ExecutionContext, database: Database, wishes: readonly Wish[]): Promise<string[]> {
  const rows = await database.query(
    `SELECT e.event_id, o.order_id FROM replay_guard_outbox AS e
     LEFT JOIN orders AS o ON o.order_id = e.aggregate
     WHERE e.type = 'order.placed' AND e.ended_at IS NOT NULL AND e.dead_at IS NULL
     GROUP BY e.event_id, o.order_id HAVING COUNT(*) = 2`,
  );
  const [count] = await database.query('SELECT COUNT(*) AS n FROM replay_guard_outbox');
  t.is(count?.n, 2n * BigInt(wishes.length), 'one event for each order, to two destinations');
  t.is(new Set(rows.map(({ order_id }) => order_id)).size, wishes.length, 'delivered everywhere');
  return rows.map(({ event_id }) => String(event_id));
}

/** Each event at least once, always in the same bytes, and nothing else; the receiver itself checks signatures. */
function checkReceiver(t: ExecutionContext, { received, forged }: Receiver, events: readonly string[]): void {
  t.is(forged, 0, 'every signature is right');
  const bodies = new Map(received.map(({ id, body }) => [id, body]));
  t.deepEqual([...bodies.keys()].sort(), [...events].sort(), 'each event, and nothing else');
  t.true(
    received.every(({ id, body }) => bodies.get(id) === body),
    'one body for each',
  );
}
