import type { Consumer } from 'grpc-replay-guard/consumer';
import type { InventoryClient } from '../fulfilment/inventory-client.js';
import { Items } from '../inventory/items.js';
import { receiveStock } from '../inventory/receive-stock.js';
import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { Line } from '../rpc/lines.js';

/** Goods that have come in. */
export interface GoodsReceipt extends Line {
  /** The same at every delivery of the message that tells of them. */
  readonly messageId: string;
}

/**
 * Adds goods to the stock, once for all deliveries of their message; resolves when that is done, or was before.
 * @throws ServiceError what the inventory refused, or UNAVAILABLE: try again
 */
export type GoodsReceipts = (receipt: GoodsReceipt) => Promise<void>;

/** The inventory is in this process: the message's record and the stock are one transaction of its database. */
export function receiveHere(consumer: Consumer, stock: { database: Database; clock: Clock }): GoodsReceipts {
  const { database, clock } = stock;
  const items = new Items(database);
  return async ({ messageId, ...line }) => {
    await consumer.processOnce({ consumer: 'warehouse-webhook', scope: 'warehouse', messageId }, () =>
      receiveStock({ database, items }, line, clock.now()),
    );
  };
}

/** The inventory is elsewhere: its guard knows the message by its id, so no transaction waits for it here. */
export function receiveElsewhere(inventory: InventoryClient): GoodsReceipts {
  // Not the bare id: the keys of restocks are made from ids of events, which a receiver of webhooks knows.
  return ({ messageId, sku, quantity }) =>
    inventory.receiveStock(sku, quantity, { key: `warehouse:${messageId}` });
}
