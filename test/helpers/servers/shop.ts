import { randomUUID } from 'node:crypto';
import {
  Client,
  credentials,
  type Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { migrateOutbox, type Outbox } from 'grpc-replay-guard/outbox';
import { pino } from 'pino';
import { createInventoryClient, type InventoryClient } from '#src/fulfilment/inventory-client.js';
import { createOrderOutbox } from '#src/fulfilment/order-outbox.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { inventorySchema } from '#src/inventory/schema.js';
import { createOrderHandlers } from '#src/order/handlers.js';
import { orderSchema } from '#src/order/schema.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { type ClientMethod, callUnary } from '#src/rpc/unary-client.js';
import { type DataSource, type Engine, freshData } from '../databases/engines.js';
import type { Cleanup } from '../databases/postgres.js';
import { decodeStatusDetails } from '../messages/status-details.js';

/** A log that writes nothing. */
export const silent = pino({ level: 'silent' });

/** A failure log that writes nothing. */
export const silentFailures = createLogObserver({ logger: silent }).failures;

/** A clock that moves only by `advance`. */
export class TestClock {
  #now = Date.UTC(2026, 0, 1);
  now(): number {
    return this.#now;
  }
  advance(ms: number): void {
    this.#now += ms;
  }
}

/** A source of random ids. */
export const randomIds = { next: () => randomUUID() };

/** Opens a new database with the shop's tables. The database is deleted after the test. */
export async function openDatabase(t: Cleanup, engine: Engine): Promise<Database> {
  return openTables(await freshData(t, engine));
}

/** Opens the shop's database as another server would. */
export async function openTables(data: DataSource): Promise<Database> {
  const { database } = await data.open({ lockTimeoutMs: 10_000, maxConnections: 5 });
  await database.migrate('inventory', inventorySchema);
  await database.migrate('order', orderSchema);
  await migrateOutbox(database);
  return database;
}

/** Serves handlers on a loopback port until the test ends. Resolves to the address. */
export async function serve(
  t: Cleanup,
  service: ServiceDefinition,
  handlers: UntypedServiceImplementation,
): Promise<string> {
  const server = new Server();
  server.addService(service, handlers);
  t.teardown(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(`127.0.0.1:${port}`),
    );
  });
}

/** Calls a method and resolves to its reply. */
export type Caller = <Request, Response>(
  method: ClientMethod<Request, Response>,
  request: NoInfer<Request>,
) => Promise<Response>;

/** Makes a caller that sends no key. */
export function connect(t: Cleanup, address: string): Caller {
  const client = new Client(address, credentials.createInsecure());
  t.teardown(() => client.close());
  return async (method, request) =>
    (await callUnary(client, method, request, { timeoutMs: 30_000 })).response;
}

/** Both services of the shop, without a guard. */
export interface Shop {
  readonly database: Database;
  readonly clock: TestClock;
  readonly inventoryAddress: string;
  readonly inventory: InventoryClient;
  readonly outbox: Outbox;
  readonly callInventory: Caller;
  readonly callOrder: Caller;
}

/** Serves both services on one database, over real sockets and without a guard. */
export async function openShop(t: Cleanup, engine: Engine): Promise<Shop> {
  const database = await openDatabase(t, engine);
  const clock = new TestClock();
  const services = { database, clock, ids: randomIds, log: silent };
  const inventoryAddress = await serve(t, inventoryService, createInventoryHandlers(services));
  const inventory = inventoryClient(t, inventoryAddress);
  const outbox = createOrderOutbox(database, { webhook: undefined });
  const orders = createOrderHandlers({ ...services, inventory, outbox });
  const callOrder = connect(t, await serve(t, orderService, orders));
  const callInventory = connect(t, inventoryAddress);
  return { database, clock, inventoryAddress, inventory, outbox, callInventory, callOrder };
}

/** Makes a client of the inventory that is closed after the test. */
export function inventoryClient(t: Cleanup, address: string): InventoryClient {
  const client = createInventoryClient({ address, credentials: credentials.createInsecure() });
  t.teardown(() => client.close());
  return client;
}

/** Creates an item and receives stock of this item. */
export async function stock(shop: Shop, sku: string, quantity: number, price = 250, currency = 'EUR') {
  await shop.callInventory(inventoryService.PutItem, { sku, name: sku, unitPriceMinor: price, currency });
  if (quantity > 0) await shop.callInventory(inventoryService.ReceiveStock, { sku, quantity });
}

/** Reads the stock of an item from the database, as [on_hand, reserved]. */
export async function stockOf(database: Database, sku: string): Promise<[number, number]> {
  const [row] = await database.query('SELECT on_hand, reserved FROM inventory_items WHERE sku = $1', [sku]);
  return [Number(row?.on_hand), Number(row?.reserved)];
}

/** The failure of a call. */
export interface Failure {
  readonly code: number;
  readonly message: string;
  readonly reason?: string;
  readonly domain?: string;
  readonly metadata?: Record<string, string>;
  /** The violated fields, sorted by name. */
  readonly fields?: string[];
}

/** Waits for the failure of a call and reads its code and details. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    () => undefined,
    (error: ServiceError) => error,
  );
  if (!error) throw new Error('the call did not fail');
  return { code: error.code, message: error.details, ...detailsOf(error.metadata) };
}

function detailsOf(trailers: Metadata): Partial<Failure> {
  const [bytes] = trailers.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(bytes)) return {};
  const { errorInfo, badRequest } = decodeStatusDetails(bytes);
  const fields = badRequest?.fieldViolations.map(({ field }) => field).sort();
  return { ...errorInfo, ...(fields && { fields }) };
}
