import test from 'ava';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { createOrderDeliveries } from '#src/order-deliveries.js';
import { createRelay } from '#src/outbox/relay.js';
import { inventoryService, orderService } from '#src/rpc/services.js';
import { engines } from '../helpers/engines.js';
import type { Cleanup } from '../helpers/postgres.js';
import {
  inventoryClient,
  openShop,
  randomIds,
  type Shop,
  serve,
  silent,
  stock,
  stockOf,
} from '../helpers/shop.js';

const { PlaceOrder, CancelOrder, GetOrder } = orderService;

function relayOf(shop: Shop, inventory = shop.inventory) {
  const deliveries = createOrderDeliveries({ ...shop, inventory });
  return createRelay({ ...shop, deliveries, log: silent });
}

async function place(shop: Shop, quantity: number) {
  const lines = [{ sku: 'a', quantity }];
  const { order } = await shop.callOrder(PlaceOrder, { customerId: 'c', lines });
  if (!order) throw new Error('no order');
  return order;
}

async function statusOf(shop: Shop, orderId: string) {
  return (await shop.callOrder(GetOrder, { orderId })).order?.status;
}

async function waiting(shop: Shop) {
  const rows = await shop.database.query(
    'SELECT type FROM outbox_events WHERE done_at IS NULL ORDER BY sequence',
  );
  return rows.map(({ type }) => type);
}

/** The shop's inventory, noting the keys of the calls that receive stock. */
async function notingKeys(t: Cleanup, shop: Shop) {
  const keys: unknown[] = [];
  const real = createInventoryHandlers({ ...shop, ids: randomIds, log: silent });
  const address = await serve(t, inventoryService, {
    ...real,
    ReceiveStock: ((call, callback) => {
      keys.push(...call.metadata.get('idempotency-key'));
      real.ReceiveStock(call, callback);
    }) satisfies typeof real.ReceiveStock,
  });
  return { keys, inventory: inventoryClient(t, address) };
}

for (const engine of engines) {
  test(`${engine}: a placed order takes its stock for good`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId, reservationId } = await place(shop, 2);
    t.is(await relayOf(shop).runOnce(), 1);
    t.is((await shop.inventory.getReservation(reservationId)).state, 'CONFIRMED');
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_PLACED');
    t.is(await relayOf(shop).runOnce(), 0);
  });

  test(`${engine}: an order whose hold ran out is cancelled`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId } = await place(shop, 2);
    shop.clock.advance(15 * 60_000);
    const relay = relayOf(shop);
    t.is(await relay.runOnce(), 1);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
    t.deepEqual(await waiting(shop), ['order.cancelled']);
    t.is(await relay.runOnce(), 1);
    t.deepEqual(await waiting(shop), []);
    t.is((await shop.callInventory(inventoryService.GetItem, { sku: 'a' })).item?.available, '5');
    t.is((await shop.callInventory(inventoryService.GetItem, { sku: 'a' })).item?.onHand, '5');
  });

  test(`${engine}: an order that was cancelled after its stock was taken is restocked`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { keys, inventory } = await notingKeys(t, shop);
    const relay = relayOf(shop, inventory);
    const { orderId } = await place(shop, 2);
    await relay.runOnce();
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
    await shop.callOrder(CancelOrder, { orderId, reason: '' });
    t.is(await relay.runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'a'), [5, 0]);
    const [event] = await shop.database.query(
      "SELECT event_id FROM outbox_events WHERE type = 'order.cancelled'",
    );
    t.deepEqual(keys, [`${event?.event_id}:0`]);
  });

  test(`${engine}: an order that was cancelled before its stock was taken ends with all of it`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId } = await place(shop, 2);
    await shop.callOrder(CancelOrder, { orderId, reason: '' });
    const relay = relayOf(shop);
    t.deepEqual([await relay.runOnce(), await relay.runOnce(), await relay.runOnce()], [1, 1, 0]);
    t.deepEqual(await stockOf(shop.database, 'a'), [5, 0]);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
  });

  test(`${engine}: a reservation that somebody released cancels the order`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId, reservationId } = await place(shop, 2);
    await shop.inventory.release(reservationId);
    const relay = relayOf(shop);
    await relay.runOnce();
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
    t.is(await relay.runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'a'), [5, 0]);
  });

  test(`${engine}: an inventory that cannot be reached delays the delivery`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await place(shop, 2);
    const nobody = inventoryClient(t, '127.0.0.1:1');
    t.is(await relayOf(shop, nobody).runOnce(), 0);
    t.deepEqual(await waiting(shop), ['order.placed']);
    shop.clock.advance(60_000);
    t.is(await relayOf(shop).runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
  });
}
