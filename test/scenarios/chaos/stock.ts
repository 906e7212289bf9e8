import type { ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { connectTo } from '../../helpers/servers/server.js';
import { type Receiver, WEBHOOK_SECRET } from '../../helpers/servers/webhook-receiver.js';
import { stock, stockItem } from '../shop-servers.js';
import { SKUS, type WantedOrder } from './order-clients.js';

const INITIAL = 100_000;

/** Returns the settings of a shop that sends its order events to this receiver. */
export function webhookSettings(receiver: Receiver): Record<string, string> {
  return { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET };
}

/** Puts a large stock of every item into the inventory. */
export async function fillStock(t: ExecutionContext, inventoryAddress: string): Promise<void> {
  const connection = connectTo(t, inventoryAddress);
  for (const sku of SKUS) await stockItem(connection, sku, INITIAL);
}

/** Asserts that the stock decreased by exactly the ordered quantities, and that no stock is reserved. */
export async function checkStock(
  t: ExecutionContext,
  database: Database,
  wantedOrders: readonly WantedOrder[],
): Promise<void> {
  for (const sku of SKUS) {
    const lines = wantedOrders.flatMap((wantedOrder) => wantedOrder.lines.filter((line) => line.sku === sku));
    const sold = lines.reduce((sum, { quantity }) => sum + quantity, 0);
    t.deepEqual(await stock(database, sku), { onHand: INITIAL - sold, reserved: 0 }, sku);
  }
}
