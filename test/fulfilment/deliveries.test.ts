import { status } from '@grpc/grpc-js';
import test from 'ava';
import { createRelay } from 'grpc-replay-guard/outbox';
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

async function statusOf(shop: Shop, orderId: string) {
  return (await shop.callOrder(GetOrder, { orderId })).order?.status;
}

async function waiting(shop: Shop) {
  const rows = await shop.database.query(
    'SELECT type FROM replay_guard_outbox WHERE ended_at IS NULL ORDER BY sequence',
  );
  return rows.map(({ type }) => type);
}

/** The shop's inventory, with other handlers for some methods. */
async function inventoryWith(
  t: Cleanup,
  shop: Shop,
  others: (real: InventoryServiceHandlers) => Partial<InventoryServiceHandlers>,
) {
  const real = createInventoryHandlers({ ...shop, ids: randomIds, log: silent });
  const address = await serve(t, inventoryService, { ...real, ...others(real) } as typeof real);
  return inventoryClient(t, address);
}

/** The shop's inventory, noting the keys of the calls that receive stock, and when they were first sent. */
async function notingKeys(t: Cleanup, shop: Shop) {
  const keys: unknown[] = [];
  const sent: unknown[] = [];
  const inventory = await inventoryWith(t, shop, (real) => ({
    ReceiveStock: (call, callback) => {
      keys.push(...call.metadata.get('idempotency-key'));
      sent.push(...call.metadata.get('idempotency-first-sent'));
      // The second line is lost at first.
      if (keys.length === 2) callback({ code: status.UNAVAILABLE });
      else real.ReceiveStock(call, callback);
    },
  }));
  return { keys, sent, inventory };
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

  test(`${engine}: an order that was cancelled after its stock was taken is restocked, line by line`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await stock(shop, 'b', 5);
    const { keys, sent, inventory } = await notingKeys(t, shop);
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

  test(`${engine}: the lines of a restock do not wait for each other, and each fails for itself`, async (t) => {
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
    const round = relay.runOnce();
    await barrier.reached(8);
    t.is(barrier.arrived, 8, 'no more at once');
    barrier.open();
    t.is(await round, 0);
    t.deepEqual([...received].sort(), skus.slice(1, 8), 'none of those that had begun is left undone');
    t.regex((await shop.outbox.deadLetters())[0]?.error ?? '', /the inventory refuses it: too much/);
  });

  test(`${engine}: a restock ends where the inventory lets few calls in at once`, async (t) => {
    const shop = await openShop(t, engine);
    const skus = Array.from({ length: 8 }, (_, index) => `s${index}`);
    for (const sku of skus) await stock(shop, sku, 5);
    const [barrier, received] = [new Barrier(), new Set<string>()];
    let [running, refused] = [0, 0];
    const inventory = await inventoryWith(t, shop, (real) => ({
      ReceiveStock: async (call, callback) => {
        if (running === 2) {
          if (++refused === 6) barrier.open();
          return callback({ code: status.RESOURCE_EXHAUSTED });
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
    t.deepEqual(await waiting(shop), []);
    t.deepEqual([...received].sort(), skus);
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

  test(`${engine}: a reservation that the inventory does not know cancels the order`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const { orderId } = await place(shop, 2);
    await shop.database.query('DELETE FROM inventory_reservation_lines WHERE TRUE');
    await shop.database.query('DELETE FROM inventory_reservations WHERE TRUE');
    const relay = relayOf(shop);
    t.deepEqual(await rounds(relay), [1, 1]);
    t.is(await statusOf(shop, orderId), 'ORDER_STATUS_CANCELLED');
    t.deepEqual(await waiting(shop), []);
  });

  test(`${engine}: a refusal that will not change is a dead letter, one that may is tried again`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    const codes = { confirm: status.FAILED_PRECONDITION, receive: status.OUT_OF_RANGE };
    let isRefusing = true;
    const inventory = await inventoryWith(t, shop, (real) => ({
      // Refused, though the reservation is held.
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
    t.regex(letter?.error ?? '', /^UndeliverableError: the inventory refuses it: too much/);
    isRefusing = false;
    await shop.outbox.requeue(letter?.eventId as string);
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
    await elapse(shop.database, 60_000);
    t.is(await relayOf(shop).runOnce(), 1);
    t.deepEqual(await stockOf(shop.database, 'a'), [3, 0]);
  });
}
