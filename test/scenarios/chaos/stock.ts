import type { ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { connectTo } from '../../helpers/servers/server.js';
import { type Receiver, WEBHOOK_SECRET } from '../../helpers/servers/webhook-receiver.js';
import { stock, stockItem } from '../shop-servers.js';
import { SKUS, type Wish } from './order-clients.js';

const INITIAL = 100_000;

/** The settings of a shop that tells a webhook of its orders. */
export function telling(receiver: Receiver): Record<string, string> {
  return { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET };
}

/** Enough of everything, straight to the inventory. */
export async function stockUp(t: ExecutionContext, inventoryAddress: string): Promise<void> {
  const connection = connectTo(t, inventoryAddress);
  for (const sku of SKUS) await stockItem(connection, sku, INITIAL);
}

/** Nothing but what was ordered is gone, and nothing is held. */
export async function checkStock(
  t: ExecutionContext,
  database: Database,
  wishes: readonly Wish[],
): Promise<void> {
  for (const sku of SKUS) {
    const lines = wishes.flatMap((wish) => wish.lines.filter((line) => line.sku === sku));
    const sold = lines.reduce((sum, { quantity }) => sum + quantity, 0);
    t.deepEqual(await stock(database, sku), { onHand: INITIAL - sold, reserved: 0 }, sku);
  }
}
