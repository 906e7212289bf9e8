import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import test from 'ava';
import { createReplayGuard, singleTenant, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor, withIdempotencyKey } from 'grpc-replay-guard/client';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createInventoryClient } from '#src/fulfilment/inventory-client.js';
import { createOrderOutbox } from '#src/fulfilment/order-outbox.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { createOrderHandlers } from '#src/order/handlers.js';
import type { Outbox } from '#src/platform/outbox.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { callUnary } from '#src/rpc/unary-client.js';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { failureOf, openTables, silent, TestClock } from '../helpers/servers/shop.js';

/** Serves both services on one guarded server. The first appends to the outbox fail with `failures`. */
async function openGuarded(t: Cleanup, engine: Engine, failures: Error[]) {
  const data = await freshData(t, engine);
  const database = await openTables(data);
  const opened = await data.open({ lockTimeoutMs: 10_000, maxConnections: 5 });
  const clock = new TestClock();
  const guard = createReplayGuard({ store: opened.store, scope: singleTenant() });
  t.teardown(async () => void (await guard.close()));
  const services = { database: opened.database, clock, ids: { next: stableId }, log: silent };
  const server = new Server({ interceptors: [guard.interceptor] });
  t.teardown(() => server.forceShutdown());
  server.addService(guard.protect(inventoryService), createInventoryHandlers(services));
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const address = `127.0.0.1:${port}`;
  const insecure = credentials.createInsecure();
  const inventory = createInventoryClient({
    address,
    credentials: insecure,
    interceptors: [createIdempotencyInterceptor()],
  });
  t.teardown(() => inventory.close());
  const outbox = withFailures(createOrderOutbox(opened.database, { webhook: undefined }), failures);
  server.addService(guard.protect(orderService), createOrderHandlers({ ...services, inventory, outbox }));
  const client = new Client(address, insecure, { 'grpc.enable_retries': 0 });
  t.teardown(() => client.close());
  await callUnary(client, inventoryService.PutItem, {
    sku: 'a',
    name: 'A',
    unitPriceMinor: 5,
    currency: 'EUR',
  });
  await inventory.receiveStock('a', 10, { key: 'first' });
  return { database, clock, client };
}

function withFailures(outbox: Outbox, failures: Error[]): Outbox {
  return {
    async append(event) {
      const failure = failures.shift();
      if (failure) throw failure;
      return outbox.append(event);
    },
  };
}

function place(client: Client, key: string) {
  const request = { customerId: 'c', lines: [{ sku: 'a', quantity: 2 }] };
  return callUnary(client, orderService.PlaceOrder, request, { metadata: withIdempotencyKey(key) });
}

const down = () => new DatabaseUnavailableError('down');

for (const engine of engines) {
  test(`${engine}: a retried order uses the reservation of its first attempt`, async (t) => {
    const { client, database } = await openGuarded(t, engine, [down(), down()]);
    for (let i = 0; i < 2; i++) t.is((await failureOf(place(client, 'k'))).code, status.UNAVAILABLE);
    const { response, trailers } = await place(client, 'k');
    t.deepEqual(trailers.get('idempotent-replayed'), []);
    const again = await place(client, 'k');
    t.deepEqual(again.trailers.get('idempotent-replayed'), ['true']);
    t.deepEqual(again.response, response);
    const reservations = await database.query('SELECT reservation_id, state FROM inventory_reservations');
    t.deepEqual(reservations, [{ reservation_id: response.order?.reservationId ?? '', state: 'HELD' }]);
  });

  test(`${engine}: a retried order makes a new reservation if the earlier reservations have expired`, async (t) => {
    const { client, clock, database } = await openGuarded(t, engine, [down(), down(), down()]);
    for (let i = 0; i < 3; i++) {
      t.is((await failureOf(place(client, 'k'))).code, status.UNAVAILABLE);
      clock.advance(15 * 60_000);
    }
    const { response } = await place(client, 'k');
    const reservations = await database.query('SELECT reservation_id FROM inventory_reservations');
    t.is(reservations.length, 4);
    const [held] = await database.query(
      'SELECT reservation_id FROM inventory_reservations WHERE expires_at > $1',
      [clock.now()],
    );
    t.is(held?.reservation_id, response.order?.reservationId);
    t.is((await database.query('SELECT order_id FROM orders')).length, 1);
  });

  test(`${engine}: a retry after the record was deleted is refused with ORDER_EXISTS`, async (t) => {
    const { client, database } = await openGuarded(t, engine, []);
    const { response } = await place(client, 'k');
    await database.query('DELETE FROM replay_guard_records WHERE TRUE');
    t.like(await failureOf(place(client, 'k')), {
      code: status.ALREADY_EXISTS,
      reason: 'ORDER_EXISTS',
      metadata: { order_id: response.order?.orderId },
    });
    t.is((await database.query('SELECT order_id FROM orders')).length, 1);
  });

  test(`${engine}: a retry after the records were deleted makes a new reservation`, async (t) => {
    const { client, database } = await openGuarded(t, engine, [down()]);
    await failureOf(place(client, 'k'));
    await database.query('DELETE FROM replay_guard_records WHERE TRUE');
    const { response } = await place(client, 'k');
    const reservations = await database.query('SELECT reservation_id FROM inventory_reservations');
    t.is(reservations.length, 2);
    t.is(response.order?.lines[0]?.quantity, 2);
  });
}
