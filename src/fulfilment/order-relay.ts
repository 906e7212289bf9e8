import type { Database } from 'grpc-replay-guard/database';
import { createRelay, type Outbox, type Relay } from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import { createWebhookDestination } from 'grpc-replay-guard/outbox/webhook';
import type { DatabaseLocation } from '../config/database-settings.js';
import type { OutboxConfig } from '../config/outbox-settings.js';
import type { Observers } from '../ops/observers.js';
import type { InventoryClient } from './inventory-client.js';
import { createOrderDeliveries } from './order-deliveries.js';
import { INVENTORY, ORDER_EVENTS, WEBHOOK } from './order-outbox.js';

/** The options of `createOrderRelay`. */
export interface OrderRelayOptions {
  readonly database: Database;
  readonly inventory: InventoryClient;
  readonly outbox: Outbox;
  readonly config: OutboxConfig;
  readonly location: DatabaseLocation;
  readonly observers: Observers;
}

/** The maximum pause between attempts at the webhook. Its receiver may be down for hours. */
const MAX_WEBHOOK_BACKOFF_MS = 15 * 60_000;

/** Makes the relay that delivers the events of orders to the inventory and, if configured, to the webhook. */
export function createOrderRelay(options: OrderRelayOptions): Relay {
  const { outbox, config, location, observers } = options;
  const { webhook, maxAttempts, retentionMs } = config;
  const listenString = location.engine === 'postgres' ? location.listenString : undefined;
  return createRelay({
    outbox,
    observer: observers.outbox,
    retentionMs,
    destinations: {
      [INVENTORY]: { deliveries: createOrderDeliveries(options), retry: { maxAttempts } },
      ...(webhook && {
        [WEBHOOK]: createWebhookDestination({
          ...webhook,
          types: ORDER_EVENTS,
          retry: { maxAttempts, maxBackoffMs: MAX_WEBHOOK_BACKOFF_MS },
        }),
      }),
    },
    ...(listenString && {
      wakeUps: createPostgresWakeUps({ client: { connectionString: listenString } }),
    }),
  });
}
