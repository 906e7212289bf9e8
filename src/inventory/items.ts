import { status } from '@grpc/grpc-js';
import type { Database } from '../platform/database.js';
import { MAX_INT64 } from '../rpc/int64.js';
import type { Line } from '../rpc/lines.js';
import { failure, notFound, outOfRange, type ServiceError } from '../rpc/service-error.js';

export interface Item {
  readonly sku: string;
  readonly name: string;
  readonly unit_price_minor: bigint;
  readonly currency: string;
  readonly on_hand: bigint;
  readonly reserved: bigint;
}

/** Stock that cannot be held because there is too little of it. */
export class InsufficientStock {
  readonly sku: string;
  readonly error: ServiceError;

  constructor({ sku, quantity }: Line, available: bigint) {
    const metadata = { sku, requested: String(quantity), available: String(available) };
    this.sku = sku;
    this.error = failure(
      status.FAILED_PRECONDITION,
      'INSUFFICIENT_STOCK',
      `not enough stock of ${sku}`,
      metadata,
    );
  }
}

const put = `
  INSERT INTO inventory_items (sku, name, unit_price_minor, currency) VALUES ($1, $2, $3, $4)
  ON CONFLICT (sku) DO UPDATE SET
    name = excluded.name, unit_price_minor = excluded.unit_price_minor, currency = excluded.currency`;

const receive = `
  UPDATE inventory_items SET on_hand = on_hand + $2
  WHERE sku = $1 AND on_hand <= ${MAX_INT64} - $2 RETURNING sku`;

// What overdue holds keep counts as free: they can only expire.
const find = `
  SELECT sku, name, unit_price_minor, currency, on_hand, reserved - COALESCE((
    SELECT CAST(SUM(line.quantity) AS BIGINT)
    FROM inventory_reservations AS hold
    JOIN inventory_reservation_lines AS line ON line.reservation_id = hold.reservation_id
    WHERE hold.state = 'HELD' AND hold.expires_at <= $2 AND line.sku = item.sku), 0) AS reserved
  FROM inventory_items AS item WHERE sku = $1`;

const hold = `
  UPDATE inventory_items SET reserved = reserved + $2
  WHERE sku = $1 AND on_hand - reserved >= $2 RETURNING unit_price_minor`;

const free = 'UPDATE inventory_items SET reserved = reserved - $2 WHERE sku = $1';

const take = 'UPDATE inventory_items SET on_hand = on_hand - $2, reserved = reserved - $2 WHERE sku = $1';

/** The items and their stock. Whoever changes several in one transaction goes in the order of skus. */
export class Items {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async put(item: Pick<Item, 'sku' | 'name' | 'unit_price_minor' | 'currency'>): Promise<void> {
    await this.#database.query(put, [item.sku, item.name, item.unit_price_minor, item.currency]);
  }

  /**
   * Adds to the stock on hand.
   * @throws ServiceError NOT_FOUND, or OUT_OF_RANGE where the stock would not fit its field
   */
  async receive({ sku, quantity }: Line, nowMs: number): Promise<void> {
    const rows = await this.#database.query(receive, [sku, quantity]);
    if (rows.length > 0) return;
    const { on_hand } = await this.get(sku, nowMs);
    throw outOfRange('STOCK_OUT_OF_RANGE', `the stock of ${sku} would be too large`, {
      sku,
      on_hand: String(on_hand),
    });
  }

  /** @throws ServiceError NOT_FOUND */
  async get(sku: string, nowMs: number): Promise<Item> {
    const [item] = await this.#database.query<Item>(find, [sku, nowMs]);
    if (!item) throw notFound('ITEM_NOT_FOUND', `no item ${sku}`, { sku });
    return item;
  }

  /**
   * Holds stock and returns its price, in the minor unit.
   * @throws InsufficientStock
   * @throws ServiceError NOT_FOUND
   */
  async hold(line: Line, nowMs: number): Promise<bigint> {
    const [row] = await this.#database.query<Item>(hold, [line.sku, line.quantity]);
    if (row) return row.unit_price_minor;
    const { on_hand, reserved } = await this.get(line.sku, nowMs);
    throw new InsufficientStock(line, on_hand - reserved);
  }

  /** Gives held stock back. */
  async free(sku: string, quantity: bigint): Promise<void> {
    await this.#database.query(free, [sku, quantity]);
  }

  /** Takes held stock for good. */
  async take(sku: string, quantity: bigint): Promise<void> {
    await this.#database.query(take, [sku, quantity]);
  }
}
