import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { createRelay } from 'grpc-replay-guard/outbox';
import { ERROR_DOMAIN, REASONS, statusDetails } from 'grpc-replay-guard/protocol';
import { createOrderDeliveries } from '#src/fulfilment/order-deliveries.js';
import type { InventoryServiceHandlers } from '#src/gen/shop/inventory/v1/InventoryService.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { engines } from '../helpers/databases/engines.js';
import { elapse, rounds } from '../helpers/databases/outbox.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import {
  inventoryClient,
  openShop,
  randomIds,
  type Shop,
  serve,
  silent,
  stock,
  stockOf,
} from '../helpers/servers/shop.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const { PlaceOrder, CancelOrder, GetOrder } = orderService;

function relayOf(shop: Shop, inventory = shop.inventory) {
  const deliveries = createOrderDeliveries({ ...shop, inventory });
  return createRelay({ outbox: shop.outbox, destinations: { inventory: { deliveries } } });
}

async function place(shop: Shop, quantity: number) {
  const lines = [{ sku: 'a', quantity }];
  const { order } = await shop.callOrder(PlaceOrder, { customerId: 'c', lines });
  if (!order) throw new Error('no order');
  return order;
}

/** The trailers of a refusal by a quota of the inventory. */
function quotaRefusal(): Metadata {
  const errorInfo = { reason: REASONS.QUOTA_EXCEEDED, domain: ERROR_DOMAIN };
  const trailers = new Metadata();
  const details = statusDetails(status.RESOURCE_EXHAUSTED, 'too many calls', [{ errorInfo }]);
  trailers.set('grpc-status-details-bin', details);
  return trailers;
}

async function statusOf(shop: Shop, orderId: string) {
  return (await shop.callOrder(GetOrder, { orderId })).order?.status;
}

async function pendingTypes(shop: Shop) {
  const rows = await shop.database.query(
    'SELECT type FROM replay_guard_outbox WHERE ended_at IS NULL ORDER BY sequence',
  );
  return rows.map(({ type }) => type);
}

/** Serves the shop's inventory with other handlers for some methods. Returns a client. */
async function inventoryWith(
  t: Cleanup,
  shop: Shop,
  replace: (real: InventoryServiceHandlers) => Partial<InventoryServiceHandlers>,
) {
  const real = createInventoryHandlers({ ...shop, ids: randomIds, log: silent });
  const address = await serve(t, inventoryService, { ...real, ...replace(real) } as typeof real);
  return inventoryClient(t, address);
}

/** Serves the shop's inventory and records the keys and first-sent times of the ReceiveStock calls. */
async function recordKeys(t: Cleanup, shop: Shop) {
  const keys: unknown[] = [];
  const sent: unknown[] = [];
  const inventory = await inventoryWith(t, shop, (real) => ({
    ReceiveStock: (call, callback) => {
      keys.push(...call.metadata.get('idempotency-key'));
      sent.push(...call.metadata.get('idempotency-first-sent'));
      // The first call for the second line fails.
      if (keys.length === 2) callback({ code: status.UNAVAILABLE });
      else real.ReceiveStock(call, callback);
    },
  }));
  return { keys, sent, inventory };
}

for (const engine of engines) {
  test(`${engine}: the delivery of a placed order confirms its reservation`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId, reservationId } = await place(shop, 2);
    t.is(await relayOf(shop).runOnce(), 1);
    t.is((await shop.inventory.getReservation(reservationId)).state, 'CONFIRMED');
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_PLACED');
    t.is(await relayOf(shop).runOnce(), 0);
  });

  test(`${engine}: the delivery of an order with an expired hold cancels the order`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId } = await place(shop, 2);
    shop.clock.advance(15 * 60_000);
    const relay = relayOf(shop);
    t.is(await relay.runOnce(), 1);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
    t.deepEqual(await pendingTypes(shop), ['order.cancelled']);
    t.is(await relay.runOnce(), 1);
    t.deepEqual(await pendingTypes(shop), []);
    t.is((await shop.callInventory(inventoryService.GetItem, { sku: 'a' })).item?.available, '5');
    t.is((await shop.callInventory(inventoryService.GetItem, { sku: 'a' })).item?.onHand, '5');
  });

  test(`${engine}: the delivery of a cancelled order with a confirmed reservation restocks each line`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await stock(shop, 'b', 5);
    const { keys, sent, inventory } = await recordKeys(t, shop);
    const relay = relayOf(shop, inventory);
    const lines = ['a', 'b'].map((sku) => ({ sku, quantity: 2 }));
    const { order } = await shop.callOrder(PlaceOrder, { customerId: 'c', lines });
    await relay.runOnce();
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
    await shop.callOrder(CancelOrder, { orderId: String(order?.orderId), reason: '' });
    t.is(await relay.runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'b'), [5, 0]);
    const [event] = await shop.database.query(
      "SELECT event_id, first_attempt_at FROM replay_guard_outbox WHERE type = 'order.cancelled'",
    );
    t.deepEqual(keys, [`${event?.event_id}:0`, `${event?.event_id}:1`, `${event?.event_id}:1`]);
    t.deepEqual([...new Set(sent)], [new Date(Number(event?.first_attempt_at)).toISOString()]);
  });

  test(`${engine}: lines of a restock are received concurrently, and one failed line does not stop its batch`, async (t) => {
    const shop = await openShop(t, engine);
    const skus = Array.from({ length: 25 }, (_, index) => `s${String(index).padStart(2, '0')}`);
    for (const sku of skus) await stock(shop, sku, 5);
    const [barrier, received] = [new Barrier(), new Set<string>()];
    const inventory = await inventoryWith(t, shop, (real) => ({
      ReceiveStock: async (call, callback) => {
        await barrier.pass();
        if (call.request.sku === 's00') return callback({ code: status.OUT_OF_RANGE, details: 'too much' });
        received.add(call.request.sku);
        real.ReceiveStock(call, callback);
      },
    }));
    const relay = relayOf(shop, inventory);
    const lines = skus.map((sku) => ({ sku, quantity: 1 }));
    const { order } = await shop.callOrder(PlaceOrder, { customerId: 'c', lines });
    t.is(await relay.runOnce(), 1);
    await shop.callOrder(CancelOrder, { orderId: String(order?.orderId), reason: '' });
    const run = relay.runOnce();
    await barrier.reached(8);
    t.is(barrier.arrived, 8, 'at most 8 concurrent calls');
    barrier.open();
    t.is(await run, 0);
    t.deepEqual([...received].sort(), skus.slice(1, 8), 'every started line is received');
    t.regex((await shop.outbox.deadLetters())[0]?.error ?? '', /the inventory refused the change: too much/);
  });

  test(`${engine}: a restock completes at an inventory that accepts two concurrent calls`, async (t) => {
    const shop = await openShop(t, engine);
    const skus = Array.from({ length: 8 }, (_, index) => `s${index}`);
    for (const sku of skus) await stock(shop, sku, 5);
    const [barrier, received] = [new Barrier(), new Set<string>()];
    let [running, refused] = [0, 0];
    const inventory = await inventoryWith(t, shop, (real) => ({
      ReceiveStock: async (call, callback) => {
        if (running === 2) {
          if (++refused === 6) barrier.open();
          return callback({ code: status.RESOURCE_EXHAUSTED, metadata: quotaRefusal() });
        }
        running++;
        await barrier.pass();
        received.add(call.request.sku);
        real.ReceiveStock(call, (...answer) => {
          running--;
          callback(...answer);
        });
      },
    }));
    const relay = relayOf(shop, inventory);
    const lines = skus.map((sku) => ({ sku, quantity: 1 }));
    const { order } = await shop.callOrder(PlaceOrder, { customerId: 'c', lines });
    await relay.runOnce();
    await shop.callOrder(CancelOrder, { orderId: String(order?.orderId), reason: '' });
    t.is(await relay.runOnce(), 0);
    for (let attempt = 2; attempt <= 4; attempt++) {
      await elapse(shop.database, 60_000);
      await relay.runOnce();
    }
    t.deepEqual(await pendingTypes(shop), []);
    t.deepEqual([...received].sort(), skus);
  });

  test(`${engine}: an order that is cancelled before its confirmation returns its whole stock`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId } = await place(shop, 2);
    await shop.callOrder(CancelOrder, { orderId, reason: '' });
    const relay = relayOf(shop);
    t.deepEqual([await relay.runOnce(), await relay.runOnce(), await relay.runOnce()], [1, 1, 0]);
    t.deepEqual(await stockOf(shop.database, 'a'), [5, 0]);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
  });

  test(`${engine}: the delivery of an order with a released reservation cancels the order`, async (t) => {
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

  test(`${engine}: the delivery of an order with an unknown reservation cancels the order`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId } = await place(shop, 2);
    await shop.database.query('DELETE FROM inventory_reservation_lines WHERE TRUE');
    await shop.database.query('DELETE FROM inventory_reservations WHERE TRUE');
    const relay = relayOf(shop);
    t.deepEqual(await rounds(relay), [1, 1]);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
    t.deepEqual(await pendingTypes(shop), []);
  });

  test(`${engine}: a definite refusal makes a dead letter, and a transient refusal is retried`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const codes = { confirm: status.FAILED_PRECONDITION, receive: status.OUT_OF_RANGE };
    let isRefusing = true;
    const inventory = await inventoryWith(t, shop, (real) => ({
      // The handler refuses the confirmation of a held reservation.
      ConfirmReservation: (call, callback) => {
        if (isRefusing) callback({ code: codes.confirm });
        else real.ConfirmReservation(call, callback);
      },
      ReceiveStock: (call, callback) => {
        if (isRefusing) callback({ code: codes.receive, details: 'too much' });
        else real.ReceiveStock(call, callback);
      },
    }));
    const relay = relayOf(shop, inventory);
    const { orderId } = await place(shop, 2);
    t.is(await relay.runOnce(), 0);
    t.deepEqual(await shop.outbox.deadLetters(), []);
    isRefusing = false;
    await elapse(shop.database, 60_000);
    t.is(await relay.runOnce(), 1);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_PLACED');
    await shop.callOrder(CancelOrder, { orderId, reason: '' });
    isRefusing = true;
    t.is(await relay.runOnce(), 0);
    const [letter] = await shop.outbox.deadLetters();
    t.like(letter, { type: 'order.cancelled', aggregate: orderId, attempts: 1 });
    t.regex(letter?.error ?? '', /^UndeliverableError: the inventory refused the change: too much/);
    isRefusing = false;
    await shop.outbox.requeue(letter?.eventId as string);
    t.is(await relay.runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'a'), [5, 0]);
  });

  test(`${engine}: a delivery waits while the inventory is unreachable`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await place(shop, 2);
    const unreachable = inventoryClient(t, '127.0.0.1:1');
    t.is(await relayOf(shop, unreachable).runOnce(), 0);
    t.deepEqual(await pendingTypes(shop), ['order.placed']);
    await elapse(shop.database, 60_000);
    t.is(await relayOf(shop).runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
  });
}
