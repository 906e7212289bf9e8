import type { Consumer } from 'grpc-replay-guard/consumer';
import type { InventoryClient } from '../fulfilment/inventory-client.js';
import { Items } from '../inventory/items.js';
import type { Clock } from '../platform/clock.js';
import type { Database } from '../platform/database.js';
import type { Line } from '../rpc/lines.js';

/** The name of the webhook of the warehouse as a consumer of messages. */
export const CONSUMER = 'warehouse-webhook';

/** A quantity of one item that the warehouse has received. */
export interface GoodsReceipt extends Line {
  /** The id of the message. It is the same for every delivery of the message. */
  readonly messageId: string;
}

/**
 * Adds goods to the stock once for all deliveries of their message. Resolves when the stock has the goods.
 * @throws ServiceError the refusal of the inventory, or UNAVAILABLE, which may be retried
 */
export type GoodsReceipts = (receipt: GoodsReceipt) => Promise<void>;

/** For an inventory in this process: the message's record and the stock change commit in one transaction. */
export function receiveLocally(
  consumer: Consumer,
  stock: { database: Database; clock: Clock },
): GoodsReceipts {
  const { database, clock } = stock;
  const items = new Items(database);
  return async ({ messageId, ...line }) => {
    await consumer.processOnce({ consumer: CONSUMER, scope: 'warehouse', messageId }, () =>
      items.receive(line, clock.now()),
    );
  };
}

/** For a remote inventory: its guard recognizes the message by its key. No local transaction is necessary. */
export function receiveRemotely(inventory: InventoryClient): GoodsReceipts {
  // The prefix separates these keys from the keys of restocks. Those are event ids, which webhook receivers know.
  return ({ messageId, sku, quantity }) =>
    inventory.receiveStock(sku, quantity, { key: `warehouse:${messageId}` });
}
