import { credentials, Server, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { createReplayGuard, executionSignal, singleTenant, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor, readMethodsOf } from 'grpc-replay-guard/client';
import { createRelay } from 'grpc-replay-guard/outbox';
import { createInventoryClient } from '#src/fulfilment/inventory-client.js';
import { createOrderDeliveries } from '#src/fulfilment/order-deliveries.js';
import { createOrderOutbox, INVENTORY } from '#src/fulfilment/order-outbox.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { createOrderHandlers } from '#src/order/handlers.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { dedupInHandler } from './dedup-in-handler.js';
import type { ServerSetup } from './messages.js';
import { withNodeIdempotency } from './node-idempotency.js';
import { openWithTables } from './tables.js';

/** The pause between two purges when replies are kept briefly, in milliseconds. */
const PURGE_EVERY_MS = 500;

/** Starts the shop, with or without the guard, and the relay of its events. Resolves to the port. */
export async function startShop(
  setup: ServerSetup,
  listen: (server: Server) => Promise<number>,
): Promise<number> {
  const { store, database } = await openWithTables(
    setup.databaseUrl,
    setup.kind === 'unguardedAlone' ? 1 : undefined,
  );
  const mode = setup.kind === 'guarded' ? 'ENFORCE' : 'OFF';
  const { retentionMs } = setup;
  const guard = createReplayGuard({
    ...{ store, scope: singleTenant(), mode },
    ...(retentionMs !== undefined && {
      policies: { [inventoryService.ReceiveStock.path]: { retentionMs, leaseMs: retentionMs } },
      purgeEveryMs: PURGE_EVERY_MS,
    }),
  });
  const server = new Server({ interceptors: [guard.interceptor] });
  const clock = { now: Date.now };
  const ids = { next: stableId };
  const handlers = createInventoryHandlers({ database, clock, ids });
  const outbox = createOrderOutbox(database, { webhook: undefined });

  if (setup.kind === 'handlerDedup') {
    handlers.ReceiveStock = dedupInHandler(database, inventoryService.ReceiveStock, handlers.ReceiveStock);
  } else if (setup.kind === 'nodeIdempotency') {
    handlers.ReceiveStock = await withNodeIdempotency(
      setup.redisUrl ?? '',
      inventoryService.ReceiveStock.path,
      handlers.ReceiveStock,
    );
  }
  server.addService(guard.protect(inventoryService), { ...handlers } as UntypedServiceImplementation);

  // The order service calls the inventory at this server's own port, which is known only after `listen`.
  const orders: UntypedServiceImplementation = {};
  for (const name of Object.keys(orderService)) {
    orders[name] = (...call: unknown[]) => (started[name] as (...call: unknown[]) => void)(...call);
  }
  const started: UntypedServiceImplementation = {};
  server.addService(guard.protect(orderService), orders);
  const port = await listen(server);
  const inventory = createInventoryClient({
    address: `127.0.0.1:${port}`,
    credentials: credentials.createInsecure(),
    interceptors: [createIdempotencyInterceptor({ skip: readMethodsOf(inventoryService) })],
    signal: executionSignal,
  });
  Object.assign(started, createOrderHandlers({ database, inventory, outbox, clock, ids }));
  const deliveries = createOrderDeliveries({ database, inventory, outbox });
  createRelay({ outbox, destinations: { [INVENTORY]: { deliveries } } }).start();
  return port;
}
