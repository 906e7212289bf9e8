import type { Database } from '../platform/database.js';
import type { Line } from '../rpc/lines.js';
import type { Item, Items } from './items.js';

/**
 * Adds to the stock of an item and returns the item.
 * @throws ServiceError NOT_FOUND, or OUT_OF_RANGE when the stock would not fit into its field
 */
export function receiveStock(
  { database, items }: { readonly database: Database; readonly items: Items },
  line: Line,
  nowMs: number,
): Promise<Item> {
  return database.transaction(async () => {
    await items.receive(line, nowMs);
    return items.get(line.sku, nowMs);
  });
}
