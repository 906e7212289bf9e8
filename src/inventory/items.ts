import { status } from '@grpc/grpc-js';
import type { Database } from '../platform/database.js';
import { MAX_INT64 } from '../rpc/fields.js';
import type { Line } from '../rpc/lines.js';
import { failure, notFound, outOfRange, type ServiceError } from '../rpc/service-error.js';

/** An item and its stock. */
export interface Item {
  readonly sku: string;
  readonly name: string;
  readonly unit_price_minor: bigint;
  readonly currency: string;
  readonly on_hand: bigint;
  readonly reserved: bigint;
}

/** The stock of an item is too small for a hold. `error` is the failure for the caller. */
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

const columns = 'sku, name, unit_price_minor, currency, on_hand, reserved';

const put = `
  INSERT INTO inventory_items (sku, name, unit_price_minor, currency) VALUES ($1, $2, $3, $4)
  ON CONFLICT (sku) DO UPDATE SET
    name = excluded.name, unit_price_minor = excluded.unit_price_minor, currency = excluded.currency
  RETURNING ${columns}`;

const receive = `
  UPDATE inventory_items SET on_hand = on_hand + $2
  WHERE sku = $1 AND on_hand <= ${MAX_INT64} - $2 RETURNING ${columns}`;

// Stock of overdue holds counts as free, because an overdue hold can only expire.
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

/** The table of items. A transaction that changes several items must change them in the order of their skus. */
export class Items {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Inserts an item, or changes its name, price and currency. Resolves to the item. */
  async put(
    item: Pick<Item, 'sku' | 'name' | 'unit_price_minor' | 'currency'>,
    nowMs: number,
  ): Promise<Item> {
    const values = [item.sku, item.name, item.unit_price_minor, item.currency];
    const [stored] = await this.#database.query<Item>(put, values);
    return this.#withoutOverdue(stored as Item, nowMs);
  }

  /**
   * Adds to the stock on hand. Resolves to the item.
   * @throws ServiceError NOT_FOUND, or OUT_OF_RANGE when the stock would not fit into its field
   */
  async receive({ sku, quantity }: Line, nowMs: number): Promise<Item> {
    const [item] = await this.#database.query<Item>(receive, [sku, quantity]);
    if (item) return this.#withoutOverdue(item, nowMs);
    const { on_hand } = await this.get(sku, nowMs);
    throw outOfRange('STOCK_OUT_OF_RANGE', `the stock of ${sku} would be too large`, {
      sku,
      on_hand: String(on_hand),
    });
  }

  /**
   * Subtracts the stock of overdue holds, in a statement of its own. The statement that changes the item may wait for the
   * row. After the wait, Postgres reads the new row together with the holds from before the wait.
   */
  #withoutOverdue(item: Item, nowMs: number): Item | Promise<Item> {
    return item.reserved === 0n ? item : this.get(item.sku, nowMs);
  }

  /**
   * Returns an item.
   * @throws ServiceError NOT_FOUND when the item does not exist
   */
  async get(sku: string, nowMs: number): Promise<Item> {
    const [item] = await this.#database.query<Item>(find, [sku, nowMs]);
    if (!item) throw notFound('ITEM_NOT_FOUND', `no item ${sku}`, { sku });
    return item;
  }

  /**
   * Holds stock and returns the price of one piece, in the currency's minor unit.
   * @throws InsufficientStock when the available stock is too small
   * @throws ServiceError NOT_FOUND when the item does not exist
   */
  async hold(line: Line, nowMs: number): Promise<bigint> {
    const [row] = await this.#database.query<Item>(hold, [line.sku, line.quantity]);
    if (row) return row.unit_price_minor;
    const { on_hand, reserved } = await this.get(line.sku, nowMs);
    throw new InsufficientStock(line, on_hand - reserved);
  }

  /** Makes held stock available again. */
  async free(sku: string, quantity: bigint): Promise<void> {
    await this.#database.query(free, [sku, quantity]);
  }

  /** Removes held stock from the stock on hand. */
  async take(sku: string, quantity: bigint): Promise<void> {
    await this.#database.query(take, [sku, quantity]);
  }
}
