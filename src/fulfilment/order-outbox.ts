import type { Database } from 'grpc-replay-guard/database';
import { createOutbox, type Outbox } from 'grpc-replay-guard/outbox';
import type { OutboxConfig } from '../config/outbox-settings.js';
import { ORDER_CANCELLED, ORDER_PLACED } from '../order/events.js';

/** The destination that confirms and releases reservations. */
export const INVENTORY = 'inventory';

/** The destination that sends events to the webhook of WEBHOOK_URL. */
export const WEBHOOK = 'webhook';

/** The event types of orders. The outbox routes each of them to every destination. */
export const ORDER_EVENTS = [ORDER_PLACED, ORDER_CANCELLED] as const;

/** Makes the outbox for the events of orders. */
export function createOrderOutbox(database: Database, { webhook }: Pick<OutboxConfig, 'webhook'>): Outbox {
  const destinations = webhook ? [INVENTORY, WEBHOOK] : [INVENTORY];
  return createOutbox({
    database,
    routes: Object.fromEntries(ORDER_EVENTS.map((type) => [type, destinations])),
  });
}
