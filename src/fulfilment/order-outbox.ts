import type { Database } from 'grpc-replay-guard/database';
import { createOutbox, type Outbox } from 'grpc-replay-guard/outbox';
import type { OutboxConfig } from '../config/outbox-settings.js';
import { ORDER_CANCELLED, ORDER_PLACED } from '../order/events.js';

/** The destinations of the events of orders. */
export const INVENTORY = 'inventory';
export const WEBHOOK = 'webhook';

/** The types of the events of orders; each goes to every destination there is. */
export const ORDER_EVENTS = [ORDER_PLACED, ORDER_CANCELLED] as const;

export function createOrderOutbox(database: Database, { webhook }: Pick<OutboxConfig, 'webhook'>): Outbox {
  const destinations = webhook ? [INVENTORY, WEBHOOK] : [INVENTORY];
  return createOutbox({
    database,
    routes: Object.fromEntries(ORDER_EVENTS.map((type) => [type, destinations])),
  });
}
