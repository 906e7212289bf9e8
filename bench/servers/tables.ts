import { migrateOutbox } from 'grpc-replay-guard/outbox';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';
import { inventorySchema } from '#src/inventory/schema.js';
import { orderSchema } from '#src/order/schema.js';

/** The number of items that the calls are spread over. */
export const SKUS = 64;

/** Returns the item of the call with this index. */
export function skuOf(index: number): string {
  return `sku-${index % SKUS}`;
}

const STOCK = 100_000_000;

const insertItem = `
  INSERT INTO inventory_items (sku, name, unit_price_minor, currency, on_hand)
  VALUES ($1, 'Thing', 100, 'EUR', ${STOCK}) ON CONFLICT (sku) DO NOTHING`;

/** The records of the servers that keep their keys by hand. */
function recordTables(engine: string): string[] {
  const [bytes, integer] = engine === 'postgres' ? ['BYTEA', 'BIGINT'] : ['BLOB', 'INTEGER'];
  return [
    `CREATE TABLE bench_records (
      id ${bytes} NOT NULL PRIMARY KEY,
      fingerprint ${bytes} NOT NULL,
      expires_at ${integer} NOT NULL,
      reply ${bytes}
    )`,
    'CREATE INDEX bench_records_expiry ON bench_records (expires_at)',
  ];
}

/** Opens the database that a URL names, with the shop's tables, items with stock, and `bench_records`. */
export async function openWithTables(databaseUrl: string, groupLimit?: number): Promise<OpenStore> {
  const open = databaseUrl.startsWith('sqlite:')
    ? await openSqlite({
        path: databaseUrl.slice('sqlite:'.length),
        ...(groupLimit !== undefined && { groupLimit }),
      })
    : await openPostgres({ connectionString: databaseUrl });
  const { database } = open;
  await database.migrate('order', orderSchema);
  await database.migrate('inventory', inventorySchema);
  await database.migrate('bench', recordTables(database.dialect.name));
  await migrateOutbox(database);
  await database.transaction(async () => {
    for (let index = 0; index < SKUS; index++) await database.query(insertItem, [skuOf(index)]);
  });
  return open;
}
