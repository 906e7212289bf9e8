import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';
import { migrateOutbox } from 'grpc-replay-guard/outbox';
import type { HostedService } from './config/settings.js';
import { formerOutboxSchema } from './fulfilment/former-outbox.js';
import type { InventoryClient } from './fulfilment/inventory-client.js';
import { createInventoryHandlers } from './inventory/handlers.js';
import { createHoldExpiry } from './inventory/hold-expiry.js';
import { inventorySchema } from './inventory/schema.js';
import { createOrderHandlers } from './order/handlers.js';
import { orderSchema } from './order/schema.js';
import type { Clock } from './platform/clock.js';
import type { Ids } from './platform/ids.js';
import type { Log } from './platform/log.js';
import type { Outbox } from './platform/outbox.js';
import { inventoryService, orderService } from './rpc/definitions.js';

/** A service that this server hosts, and the work that goes with it. */
export interface Hosted {
  /** The service's full name. */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
  /** What is done again and again beside the calls. */
  readonly work: { start(): void; stop(): Promise<void> };
}

/** What every service is given. */
export interface ServiceContext {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  /** Makes calls of the service's methods guarded. */
  readonly protect: <T extends ServiceDefinition>(definition: T) => T;
}

/** Makes the tables that the services need, or brings them up to date. */
export async function migrate(database: Database, services: ReadonlySet<HostedService>): Promise<void> {
  if (services.has('inventory')) await database.migrate('inventory', inventorySchema);
  if (!services.has('order')) return;
  await database.migrate('order', orderSchema);
  await migrateOutbox(database);
  await database.migrate('outbox', formerOutboxSchema(database.dialect));
}

/** The inventory service, and the expiry of its holds. */
export function hostInventory(surroundings: ServiceContext): Hosted {
  return {
    name: 'shop.inventory.v1.InventoryService',
    definition: surroundings.protect(inventoryService),
    handlers: createInventoryHandlers(surroundings),
    work: createHoldExpiry(surroundings),
  };
}

/** What the order service is given besides. */
export interface OrderServiceContext extends ServiceContext {
  readonly inventory: InventoryClient;
  readonly outbox: Outbox;
  /** Delivers the events of the outbox, where that is not left to other servers. */
  readonly relay?: Hosted['work'];
}

const idle: Hosted['work'] = { start() {}, stop: async () => {} };

/** The order service, and the relay of its events. */
export function hostOrder(surroundings: OrderServiceContext): Hosted {
  return {
    name: 'shop.order.v1.OrderService',
    definition: surroundings.protect(orderService),
    handlers: createOrderHandlers(surroundings),
    work: surroundings.relay ?? idle,
  };
}
