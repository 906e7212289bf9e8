import { randomUUID } from 'node:crypto';
import test from 'ava';
import { freshData } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { type ProxyAction, startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { connectTo } from '../helpers/servers/server.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import * as shop from './shop-servers.js';

const RESERVE = '/shop.inventory.v1.InventoryService/ReserveStock';

test('an order server is killed after the reservation: another server places the order and reserves once', async (t) => {
  const data = await freshData(t, 'postgres');
  const inventory = new ServerProcess(t, { DATABASE_URL: data.url, SERVICES: 'inventory' });
  // The inventory has committed the reservation when its reply arrives here. The order server never gets this reply.
  const reserved = new Barrier();
  const proxy = await startGrpcProxy(t, await inventory.grpcAddress(), {
    reply: async ({ path }): Promise<ProxyAction> => {
      if (path === RESERVE && reserved.arrived === 0) await reserved.pass();
      return 'pass';
    },
  });
  const orders = { DATABASE_URL: data.url, SERVICES: 'order', INVENTORY_ADDRESS: proxy.address };
  const [killed, other] = [new ServerProcess(t, orders), new ServerProcess(t, orders)];
  const [first, second] = [connectTo(t, await killed.grpcAddress()), connectTo(t, await other.grpcAddress())];
  const { database } = await data.open({ maxConnections: 2 });
  await shop.stockItem(connectTo(t, await inventory.grpcAddress()), 'tea', 10);

  const key = randomUUID();
  const firstSent = new Date().toISOString();
  const lost = shop.order(first, key, 'tea', 2, firstSent);
  await reserved.reached();
  t.is(await shop.count(database, 'inventory_reservations'), 1);
  t.is(await shop.count(database, 'orders'), 0);
  await killed.kill();
  t.is((await lost).code, 14);

  // The test expires the lease of 30 seconds in the database.
  const expired = await database.query(
    'UPDATE replay_guard_records SET lease_until = 0 WHERE state <= 0 RETURNING id',
  );
  t.is(expired.length, 1, 'only the order was in progress');
  const placed = await shop.retryWhileUnavailable(() => shop.order(second, key, 'tea', 2, firstSent));
  t.false(placed.replayed);
  const again = await shop.retryWhileUnavailable(() => shop.order(second, key, 'tea', 2, firstSent));
  t.true(again.replayed);
  t.deepEqual(again.bytes, placed.bytes);

  const rows = await database.query('SELECT reservation_id FROM inventory_reservations');
  t.deepEqual(rows, [{ reservation_id: placed.message?.order?.reservationId ?? '' }]);
  t.is(await shop.count(database, 'orders'), 1);
  const requests = proxy.calls.filter(({ path }) => path === RESERVE);
  t.is(requests.length, 2, 'both servers requested the reservation');
  t.is(new Set(requests.map(({ headers }) => headers['idempotency-key'])).size, 1);
  for (const { headers } of requests) t.is(headers['idempotency-first-sent'], firstSent);
  await poll('the relay confirms the reservation', () => shop.allDelivered(database));
  t.deepEqual(await shop.stock(database, 'tea'), { onHand: 8, reserved: 0 });
});
