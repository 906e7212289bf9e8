import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { createReplayGuard, singleTenant, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor } from 'grpc-replay-guard/client';
import { migrateOutbox } from 'grpc-replay-guard/outbox';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { createInventoryClient } from '#src/fulfilment/inventory-client.js';
import { createOrderOutbox } from '#src/fulfilment/order-outbox.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { inventorySchema } from '#src/inventory/schema.js';
import { createOrderHandlers } from '#src/order/handlers.js';
import { orderSchema } from '#src/order/schema.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { ServerMessage, Variant } from './variant.js';

// The shop runs in a separate process, so that its CPU time does not include the load generator.
const variant: Variant = JSON.parse(process.argv[2] ?? '{}');
const { store, database } = await open(variant);
await database.migrate('order', orderSchema);
await database.migrate('inventory', inventorySchema);
await migrateOutbox(database);

const guard = createReplayGuard({ store, scope: singleTenant(), mode: variant.guarded ? 'ENFORCE' : 'OFF' });
const server = new Server({ interceptors: [guard.interceptor] });
const port = await listen();
const clock = { now: Date.now };
const ids = { next: stableId };
const inventory = createInventoryClient({
  address: `127.0.0.1:${port}`,
  credentials: credentials.createInsecure(),
  interceptors: [createIdempotencyInterceptor()],
});
const outbox = createOrderOutbox(database, { webhook: undefined });
server.addService(guard.protect(inventoryService), { ...createInventoryHandlers({ database, clock, ids }) });
server.addService(guard.protect(orderService), {
  ...createOrderHandlers({ database, inventory, outbox, clock, ids }),
});
// An empty handler measures the cost of gRPC itself.
server.addService(emptyService(), {
  Empty: (_call: unknown, done: (error: null, reply: Buffer) => void) => done(null, Buffer.alloc(0)),
});

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  send({ kind: 'cpu', micros: user + system });
});
send({ kind: 'listening', port });

function open({ databaseUrl, groupLimit }: Variant) {
  return databaseUrl.startsWith('sqlite:')
    ? openSqlite({ path: databaseUrl.slice('sqlite:'.length), ...(groupLimit && { groupLimit }) })
    : openPostgres({ connectionString: databaseUrl });
}

function listen(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
}

function emptyService() {
  const same = (bytes: Buffer) => bytes;
  return {
    Empty: {
      path: '/bench.Empty/Empty',
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  } as const;
}

function send(message: ServerMessage): void {
  process.send?.(message);
}
