import type { Order } from '#src/gen/shop/order/v1/Order.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';

/** A statement; its parameters `$1`, `$2`, ... stand in the text once each, in this order. */
export interface Statement {
  readonly text: string;
  readonly values: readonly (string | number | Buffer)[];
}

export type Row = Readonly<Record<string, unknown>>;

/** What a call writes in one transaction, and how its reply is made of the rows that come back. */
export interface Write {
  readonly statements: readonly Statement[];
  readonly reply: (rows: readonly (readonly Row[])[]) => Buffer;
}

const HOLD_MS = 15 * 60_000;

// The same rule as in the shop: stock in overdue holds is free.
const itemColumns = `
  sku, name, unit_price_minor, currency, on_hand, reserved - COALESCE((
    SELECT CAST(SUM(line.quantity) AS BIGINT)
    FROM inventory_reservations AS hold
    JOIN inventory_reservation_lines AS line ON line.reservation_id = hold.reservation_id
    WHERE hold.state = 'HELD' AND hold.expires_at <= $3 AND line.sku = inventory_items.sku), 0) AS reserved`;

const receiveText = `
  UPDATE inventory_items SET on_hand = on_hand + $1 WHERE sku = $2 RETURNING ${itemColumns}`;

/** ReceiveStock: one statement, as in the shop's own handler. */
export function receiveStock(sku: string, quantity: number): Write {
  return {
    statements: [{ text: receiveText, values: [quantity, sku, Date.now()] }],
    reply: (rows) => inventoryService.ReceiveStock.responseSerialize({ item: itemMessage(rowOf(rows, 0)) }),
  };
}

/** GetItem, which only reads. */
export function getItem(sku: string): Write {
  const text = `SELECT ${itemColumns.replace('$3', '$1')} FROM inventory_items WHERE sku = $2`;
  return {
    statements: [{ text, values: [Date.now(), sku] }],
    reply: (rows) => inventoryService.GetItem.responseSerialize({ item: itemMessage(rowOf(rows, 0)) }),
  };
}

const holdText = `
  UPDATE inventory_items SET reserved = reserved + $1
  WHERE sku = $2 AND on_hand - reserved >= $3 RETURNING unit_price_minor`;
const reserveText = `
  INSERT INTO inventory_reservations (reservation_id, state, expires_at) VALUES ($1, 'HELD', $2)`;
const reserveLineText = `
  INSERT INTO inventory_reservation_lines (reservation_id, sku, quantity, unit_price_minor)
  SELECT $1, sku, CAST($2 AS BIGINT), unit_price_minor FROM inventory_items WHERE sku = $3`;

/** ReserveStock for one line. */
export function reserveStock(reservationId: string, sku: string, quantity: number): Write {
  const expiresAtMs = Date.now() + HOLD_MS;
  return {
    statements: [
      { text: holdText, values: [quantity, sku, quantity] },
      { text: reserveText, values: [reservationId, expiresAtMs] },
      { text: reserveLineText, values: [reservationId, quantity, sku] },
    ],
    reply: (rows) => {
      const lines = [{ sku, quantity, unitPriceMinor: String(rowOf(rows, 0).unit_price_minor) }];
      const state = 'RESERVATION_STATE_HELD' as const;
      const reservation = { reservationId, lines, state, expireTime: timestamp(expiresAtMs) };
      return inventoryService.ReserveStock.responseSerialize({ reservation });
    },
  };
}

const confirmText = `
  UPDATE inventory_reservations SET state = 'CONFIRMED'
  WHERE reservation_id = $1 AND state = 'HELD' AND expires_at > $2 RETURNING expires_at`;
const takeText = `
  UPDATE inventory_items SET on_hand = on_hand - line.quantity, reserved = reserved - line.quantity
  FROM inventory_reservation_lines AS line
  WHERE line.reservation_id = $1 AND line.sku = inventory_items.sku`;
const linesText = `
  SELECT sku, quantity, unit_price_minor FROM inventory_reservation_lines WHERE reservation_id = $1`;

/** ConfirmReservation. */
export function confirmReservation(reservationId: string): Write {
  const statements = [
    { text: confirmText, values: [reservationId, Date.now()] },
    { text: takeText, values: [reservationId] },
    { text: linesText, values: [reservationId] },
  ];
  return {
    statements,
    reply: (rows) => {
      const lines = (rows[2] ?? []).map((line) => ({
        sku: String(line.sku),
        quantity: Number(line.quantity),
        unitPriceMinor: String(line.unit_price_minor),
      }));
      const state = 'RESERVATION_STATE_CONFIRMED' as const;
      const expireTime = timestamp(Number(rowOf(rows, 0).expires_at));
      const reservation = { reservationId, lines, state, expireTime };
      return inventoryService.ConfirmReservation.responseSerialize({ reservation });
    },
  };
}

const orderText = `
  INSERT INTO orders (order_id, customer_id, lines, total_minor, currency, status, reservation_id, created_at, labels)
  VALUES ($1, $2, $3, $4, $5, 'PLACED', $6, $7, '{}')`;
const eventText = `
  INSERT INTO replay_guard_outbox
    (event_id, destination, aggregate, sequence, type, format, payload, created_at, due_at)
  VALUES ($1, 'inventory', $2, 1, 'order.placed', 'json', $3, $4, $5)`;

/** PlaceOrder after the stock is reserved: the order and its event. */
export function placeOrder(order: Order, eventId: string): Write {
  const { orderId = '', customerId = '', reservationId = '', currency = '' } = order;
  const lines = JSON.stringify(order.lines?.map((l) => [l.sku, l.quantity, l.unitPriceMinor]));
  const payload = Buffer.from(JSON.stringify({ orderId, reservationId }));
  const nowMs = Date.now();
  const values = [orderId, customerId, lines, Number(order.totalMinor), currency, reservationId, nowMs];
  return {
    statements: [
      { text: orderText, values },
      { text: eventText, values: [eventId, orderId, payload, nowMs, nowMs] },
    ],
    reply: () =>
      orderService.PlaceOrder.responseSerialize({ order: { ...order, createTime: timestamp(nowMs) } }),
  };
}

/** Marks the event of an order as delivered. */
export function endEvent(eventId: string): Statement {
  const text = `UPDATE replay_guard_outbox SET ended_at = $1 WHERE event_id = $2 AND destination = 'inventory'`;
  return { text, values: [Date.now(), eventId] };
}

/** Returns the first row of a statement of the write. */
function rowOf(rows: readonly (readonly Row[])[], statement: number): Row {
  const row = rows[statement]?.[0];
  if (!row) throw new Error('the statement found no row');
  return row;
}

function itemMessage({ sku, name, unit_price_minor, currency, on_hand, reserved }: Row) {
  return {
    sku: String(sku),
    name: String(name),
    unitPriceMinor: String(unit_price_minor),
    currency: String(currency),
    onHand: String(on_hand),
    reserved: String(reserved),
    available: String(Number(on_hand) - Number(reserved)),
  };
}

function timestamp(epochMs: number) {
  return { seconds: Math.floor(epochMs / 1_000), nanos: (epochMs % 1_000) * 1_000_000 };
}
