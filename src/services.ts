import type { ServiceDefinition } from '@grpc/grpc-js';
import { executionSignal } from 'grpc-replay-guard';
import { createIdempotencyInterceptor, readMethodsOf } from 'grpc-replay-guard/client';
import type { Database } from 'grpc-replay-guard/database';
import { migrateOutbox } from 'grpc-replay-guard/outbox';
import { formatAddress } from './config/address.js';
import type { Config } from './config/config.js';
import type { ServiceName } from './config/settings.js';
import { formerOutboxSchema } from './fulfilment/former-outbox.js';
import { createInventoryClient, type InventoryClient } from './fulfilment/inventory-client.js';
import { createOrderOutbox } from './fulfilment/order-outbox.js';
import { createOrderRelay } from './fulfilment/order-relay.js';
import { createInventoryHandlers } from './inventory/handlers.js';
import { createHoldExpiry } from './inventory/hold-expiry.js';
import { inventorySchema } from './inventory/schema.js';
import type { Observers } from './ops/observers.js';
import type { Ops } from './ops/ops.js';
import { addOutboxPages } from './ops/outbox-pages.js';
import { createOrderHandlers } from './order/handlers.js';
import { orderSchema } from './order/schema.js';
import type { Clock } from './platform/clock.js';
import type { Ids } from './platform/ids.js';
import { inventoryService, orderService } from './rpc/definitions.js';
import type { CallContext } from './server/call-context.js';
import { clientCredentials, internalCredentials } from './server/credentials.js';
import type { BackgroundWork, HostedService } from './server/hosted-service.js';
import { type ListenerOptions, listenInternally } from './server/listeners.js';

/** The parts of the server that the services use. */
export interface ServiceContext {
  readonly config: Config;
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly observers: Observers;
  readonly ops: Ops;
  readonly callContext: CallContext;
  readonly listeners: ListenerOptions;
  /** Returns a definition whose methods are guarded. */
  readonly protect: <T extends ServiceDefinition>(definition: T) => T;
}

/** The services that the settings ask for. */
export interface Services {
  readonly hosted: readonly HostedService[];
  /** A client of the inventory; undefined if this process hosts the inventory. */
  readonly remoteInventory: InventoryClient | undefined;
}

/** Creates the tables of the services, or brings them up to date. */
export async function migrateServices(database: Database, services: ReadonlySet<ServiceName>): Promise<void> {
  if (services.has('inventory')) await database.migrate('inventory', inventorySchema);
  if (!services.has('order')) return;
  await database.migrate('order', orderSchema);
  await migrateOutbox(database);
  await database.migrate('outbox', formerOutboxSchema(database.dialect));
}

/** Makes the services that the settings ask for, and starts their background work. */
export async function startServices(context: ServiceContext): Promise<Services> {
  const names = context.config.services;
  const inventoryHost = names.has('inventory') ? hostInventory(context) : undefined;
  const client = names.has('order') ? await connectInventory(context, inventoryHost) : undefined;
  const orderHost = client && hostOrder(context, client);
  const hosted = [inventoryHost, orderHost].filter((service) => service !== undefined);
  for (const { work } of hosted) {
    work.start();
    context.listeners.closers.add(() => work.stop());
  }
  return { hosted, remoteInventory: inventoryHost ? undefined : client };
}

function hostInventory(context: ServiceContext): HostedService {
  return {
    name: 'shop.inventory.v1.InventoryService',
    definition: context.protect(inventoryService),
    handlers: createInventoryHandlers(context),
    work: createHoldExpiry({ ...context, failures: context.observers.failures }),
  };
}

const NO_WORK: BackgroundWork = { start() {}, stop: async () => {} };

function hostOrder(context: ServiceContext, inventory: InventoryClient): HostedService {
  const { outbox: config, database: location } = context.config;
  const outbox = createOrderOutbox(context.database, config);
  addOutboxPages(context.ops, outbox);
  return {
    name: 'shop.order.v1.OrderService',
    definition: context.protect(orderService),
    handlers: createOrderHandlers({ ...context, inventory, outbox }),
    // Without a relay, other servers on the same database deliver the events.
    work: config.relay ? createOrderRelay({ ...context, inventory, outbox, config, location }) : NO_WORK,
  };
}

/** Makes a client of the inventory at INVENTORY_ADDRESS or, without this setting, of the inventory in this process. */
async function connectInventory(
  { config, callContext, listeners }: ServiceContext,
  local: HostedService | undefined,
): Promise<InventoryClient> {
  const { tls, internalCalls, closers } = listeners;
  const isRemote = config.inventory !== undefined;
  // The settings require INVENTORY_ADDRESS if this process does not host the inventory.
  const address = config.inventory ?? (await listenInternally(local as HostedService, listeners));
  const client = createInventoryClient({
    address: formatAddress(address),
    credentials: isRemote ? clientCredentials(tls) : internalCredentials(tls),
    interceptors: [
      callContext.outbound,
      ...(isRemote ? [] : [internalCalls.outbound]),
      createIdempotencyInterceptor({ skip: readMethodsOf(inventoryService) }),
    ],
    signal: executionSignal,
  });
  closers.add(async () => client.close());
  return client;
}
