import type { Database } from '../platform/database.js';
import { notFound } from '../rpc/service-error.js';
import type { PricedLine } from './inventory.js';
import type { Position } from './page-token.js';

/** An order. */
export interface Order {
  readonly orderId: string;
  readonly customerId: string;
  readonly lines: readonly PricedLine[];
  readonly totalMinor: bigint;
  readonly currency: string;
  readonly status: 'PLACED' | 'CANCELLED';
  readonly reservationId: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: bigint;
  readonly labels: Readonly<Record<string, string>>;
}

interface OrderRow {
  readonly order_id: string;
  readonly customer_id: string;
  readonly lines: string;
  readonly total_minor: bigint;
  readonly currency: string;
  readonly status: Order['status'];
  readonly reservation_id: string;
  readonly created_at: bigint;
  readonly labels: string;
}

const columns =
  'order_id, customer_id, lines, total_minor, currency, status, reservation_id, created_at, labels';

const insert = `INSERT INTO orders (${columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`;

const find = `SELECT ${columns} FROM orders WHERE order_id = $1`;

// The condition on the status makes a second, concurrent cancellation find no row.
const cancel = `
  UPDATE orders SET status = 'CANCELLED', cancel_reason = $2
  WHERE order_id = $1 AND status = 'PLACED' RETURNING ${columns}`;

const list = `
  SELECT ${columns} FROM orders
  WHERE customer_id = $1 AND (created_at, order_id) < ($2, $3)
  ORDER BY created_at DESC, order_id DESC LIMIT $4`;

/** The table of orders. */
export class Orders {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Inserts an order. */
  async add(order: Order): Promise<void> {
    await this.#database.query(insert, [
      order.orderId,
      order.customerId,
      JSON.stringify(order.lines.map((line) => [line.sku, line.quantity, String(line.unitPriceMinor)])),
      order.totalMinor,
      order.currency,
      order.status,
      order.reservationId,
      order.createdAt,
      JSON.stringify(order.labels),
    ]);
  }

  /**
   * Returns an order.
   * @throws ServiceError NOT_FOUND when the order does not exist
   */
  async get(orderId: string): Promise<Order> {
    const order = await this.find(orderId);
    if (!order) throw notFound('ORDER_NOT_FOUND', `no order ${orderId}`, { order_id: orderId });
    return order;
  }

  /** Returns an order; undefined if the order does not exist. */
  async find(orderId: string): Promise<Order | undefined> {
    const [row] = await this.#database.query<OrderRow>(find, [orderId]);
    return row && orderFrom(row);
  }

  /** Cancels an order with the status PLACED and returns the order; undefined if there is no such order. */
  async cancel(orderId: string, reason: string): Promise<Order | undefined> {
    const [row] = await this.#database.query<OrderRow>(cancel, [orderId, reason]);
    return row && orderFrom(row);
  }

  /** Returns at most `limit` orders of a customer after `position`, the newest order first. */
  async list(customerId: string, position: Position, limit: number): Promise<Order[]> {
    const { createdAt, orderId } = position;
    return (await this.#database.query<OrderRow>(list, [customerId, createdAt, orderId, limit])).map(
      orderFrom,
    );
  }
}

function orderFrom(row: OrderRow): Order {
  const lines: [sku: string, quantity: number, unitPriceMinor: string][] = JSON.parse(row.lines);
  return {
    orderId: row.order_id,
    customerId: row.customer_id,
    lines: lines.map(([sku, quantity, price]) => ({ sku, quantity, unitPriceMinor: BigInt(price) })),
    totalMinor: row.total_minor,
    currency: row.currency,
    status: row.status,
    reservationId: row.reservation_id,
    createdAt: row.created_at,
    labels: JSON.parse(row.labels),
  };
}
