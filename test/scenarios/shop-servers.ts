import { randomUUID } from 'node:crypto';
import type { Database } from 'grpc-replay-guard/database';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { Connection, Reply } from '../helpers/calls/call.js';
import { type DataSource, type Engine, freshData } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { connectTo } from '../helpers/servers/server.js';

/** Servers of the shop in processes of their own, on one database, with a look at that database. */
export interface ShopServers {
  readonly data: DataSource;
  readonly servers: readonly ServerProcess[];
  /** Opened beside the servers, to see what is committed. */
  readonly database: Database;
}

export async function startShopServers(t: Cleanup, engine: Engine, count = 1): Promise<ShopServers> {
  const data = await freshData(t, engine);
  // Together, so that they also migrate the empty database together.
  const servers = Array.from({ length: count }, () => new ServerProcess(t, { DATABASE_URL: data.url }));
  await Promise.all(servers.map((server) => server.grpcAddress()));
  const { database } = await data.open({ maxConnections: 2 });
  return { data, servers, database };
}

/** `count` clients, each on a TCP connection of its own, spread over the servers. */
export async function connections(
  t: Cleanup,
  servers: readonly ServerProcess[],
  count: number,
): Promise<Connection[]> {
  const addresses = await Promise.all(servers.map((server) => server.grpcAddress()));
  return Array.from({ length: count }, (_, index) =>
    connectTo(t, String(addresses[index % addresses.length])),
  );
}

/** Puts an item and receives stock of it. */
export async function stockItem(connection: Connection, sku: string, quantity: number): Promise<void> {
  const item = { sku, name: sku, unitPriceMinor: '450', currency: 'EUR' };
  succeeded(await connection.call(inventoryService.PutItem, item));
  succeeded(await connection.call(inventoryService.ReceiveStock, { sku, quantity }, { key: randomUUID() }));
}

export function order(connection: Connection, key: string, sku: string, quantity = 1, firstSent?: string) {
  const request = { customerId: 'ada', lines: [{ sku, quantity }], labels: { channel: 'web' } };
  const metadata = firstSent === undefined ? {} : { 'idempotency-first-sent': firstSent };
  return connection.call(orderService.PlaceOrder, request, { key, metadata });
}

export function receive(connection: Connection, key: string, sku: string) {
  return connection.call(inventoryService.ReceiveStock, { sku, quantity: 1 }, { key });
}

/**
 * Repeats a call that is answered UNAVAILABLE, with the key that it has, as the contract tells clients to: on
 * a busy machine a time limit may pass before the first execution is done.
 */
export async function insist<R>(attempt: () => Promise<Reply<R>>, withinMs = 60_000): Promise<Reply<R>> {
  const until = performance.now() + withinMs;
  for (;;) {
    const reply = await attempt();
    if (reply.code !== 14 || performance.now() > until) return succeeded(reply);
  }
}

/** @throws the reply's own words, where it is no success */
export function succeeded<R>(reply: Reply<R>): Reply<R> {
  if (reply.code !== 0) throw new Error(`${reply.code}: ${reply.details}`);
  return reply;
}

/** How many rows a table has. */
export async function count(
  database: Database,
  table: 'orders' | 'inventory_reservations' | 'replay_guard_outbox',
) {
  const text = {
    orders: 'SELECT COUNT(*) AS n FROM orders',
    inventory_reservations: 'SELECT COUNT(*) AS n FROM inventory_reservations',
    replay_guard_outbox: 'SELECT COUNT(*) AS n FROM replay_guard_outbox',
  };
  const [row] = await database.query(text[table]);
  return Number(row?.n);
}

/** What the database has of an item. */
export async function stock(database: Database, sku: string): Promise<{ onHand: number; reserved: number }> {
  const [row] = await database.query('SELECT on_hand, reserved FROM inventory_items WHERE sku = $1', [sku]);
  return { onHand: Number(row?.on_hand), reserved: Number(row?.reserved) };
}

/** Whether every event of the outbox is delivered. */
export async function allDelivered(database: Database): Promise<boolean> {
  const [row] = await database.query('SELECT COUNT(*) AS n FROM replay_guard_outbox WHERE ended_at IS NULL');
  return row?.n === 0n;
}
