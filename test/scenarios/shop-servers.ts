import { randomUUID } from 'node:crypto';
import type { Database } from 'grpc-replay-guard/database';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { Connection, Reply } from '../helpers/calls/call.js';
import { type DataSource, type Engine, freshData } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { connectTo } from '../helpers/servers/server.js';

/** Shop servers in separate processes on one database. */
export interface ShopServers {
  readonly data: DataSource;
  readonly servers: readonly ServerProcess[];
  /** A connection of the test to the same database. It shows the committed rows. */
  readonly database: Database;
}

/** Starts shop servers on a new database of this engine. */
export async function startShopServers(t: Cleanup, engine: Engine, count = 1): Promise<ShopServers> {
  const data = await freshData(t, engine);
  // The servers start concurrently, so their migrations of the empty database are concurrent, too.
  const servers = Array.from({ length: count }, () => new ServerProcess(t, { DATABASE_URL: data.url }));
  await Promise.all(servers.map((server) => server.grpcAddress()));
  const { database } = await data.open({ maxConnections: 2 });
  return { data, servers, database };
}

/** Opens `count` clients, each with a TCP connection of its own, distributed over the servers. */
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

/** Creates an item and adds stock to it. */
export async function stockItem(connection: Connection, sku: string, quantity: number): Promise<void> {
  const item = { sku, name: sku, unitPriceMinor: '450', currency: 'EUR' };
  succeeded(await connection.call(inventoryService.PutItem, item));
  succeeded(await connection.call(inventoryService.ReceiveStock, { sku, quantity }, { key: randomUUID() }));
}

/** Places an order of one item. */
export function order(connection: Connection, key: string, sku: string, quantity = 1, firstSent?: string) {
  const request = { customerId: 'ada', lines: [{ sku, quantity }], labels: { channel: 'web' } };
  const metadata = firstSent === undefined ? {} : { 'idempotency-first-sent': firstSent };
  return connection.call(orderService.PlaceOrder, request, { key, metadata });
}

/** Adds one piece to the stock of an item. */
export function receive(connection: Connection, key: string, sku: string) {
  return connection.call(inventoryService.ReceiveStock, { sku, quantity: 1 }, { key });
}

/**
 * Retries a call with the same key while its reply is UNAVAILABLE, as the contract requires of clients. On a busy
 * machine, a wait may end before the first execution does.
 * @throws Error when the reply is a failure
 */
export async function retryWhileUnavailable<R>(
  attempt: () => Promise<Reply<R>>,
  withinMs = 60_000,
): Promise<Reply<R>> {
  const until = performance.now() + withinMs;
  for (;;) {
    const reply = await attempt();
    if (reply.code !== 14 || performance.now() > until) return succeeded(reply);
  }
}

/** Returns the reply if it is OK. @throws Error with the code and details of a failure */
export function succeeded<R>(reply: Reply<R>): Reply<R> {
  if (reply.code !== 0) throw new Error(`${reply.code}: ${reply.details}`);
  return reply;
}

/** Counts the rows of a table. */
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

/** Reads the stock of an item from the database. */
export async function stock(database: Database, sku: string): Promise<{ onHand: number; reserved: number }> {
  const [row] = await database.query('SELECT on_hand, reserved FROM inventory_items WHERE sku = $1', [sku]);
  return { onHand: Number(row?.on_hand), reserved: Number(row?.reserved) };
}

/** Returns whether every event of the outbox is delivered. */
export async function allDelivered(database: Database): Promise<boolean> {
  const [row] = await database.query('SELECT COUNT(*) AS n FROM replay_guard_outbox WHERE ended_at IS NULL');
  return row?.n === 0n;
}
