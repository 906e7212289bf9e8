import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { Order__Output } from '#src/gen/shop/order/v1/Order.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { engines } from '../helpers/databases/engines.js';
import { failureOf, openShop, type Shop, stock, stockOf } from '../helpers/servers/shop.js';

const { PlaceOrder, CancelOrder, GetOrder, ListOrders } = orderService;

async function place(shop: Shop, lines: { sku: string; quantity: number }[], customerId = 'c') {
  const { order } = await shop.callOrder(PlaceOrder, { customerId, lines });
  if (!order) throw new Error('no order');
  return order;
}

/** Reads the events in their order of delivery. */
async function events(shop: Shop) {
  const rows = await shop.database.query(
    'SELECT aggregate, destination, type FROM replay_guard_outbox ORDER BY aggregate, sequence',
  );
  return rows.map(({ aggregate, destination, type }) => [aggregate, destination, type]);
}

async function reservations(shop: Shop) {
  const rows = await shop.database.query('SELECT state FROM inventory_reservations ORDER BY state');
  return rows.map(({ state }) => state);
}

for (const engine of engines) {
  test(`${engine}: an order has a reservation and the prices of the inventory`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'b', 10, 300);
    await stock(shop, 'a', 10, 1_000_000_000_000);
    shop.clock.advance(123);
    const lines = [
      { sku: 'b', quantity: 2, unitPriceMinor: 1 },
      { sku: 'a', quantity: 9 },
      { sku: 'b', quantity: 1 },
    ];
    const labels = { channel: 'web', note: '' };
    const { order } = await shop.callOrder(PlaceOrder, { customerId: 'c', lines, labels });
    t.like(order, {
      customerId: 'c',
      lines: [
        { sku: 'a', quantity: 9, unitPriceMinor: '1000000000000' },
        { sku: 'b', quantity: 3, unitPriceMinor: '300' },
      ],
      totalMinor: '9000000000900',
      currency: 'EUR',
      status: 'ORDER_STATUS_PLACED',
      createTime: { seconds: String(Math.floor(shop.clock.now() / 1000)), nanos: 123_000_000 },
      labels,
    });
    const orderId = order?.orderId ?? '';
    t.deepEqual((await shop.callOrder(GetOrder, { orderId })).order, order);
    t.deepEqual(await events(shop), [[orderId, 'inventory', 'order.placed']]);
    t.deepEqual(await stockOf(shop.database, 'a'), [10, 9]);
  });

  test(`${engine}: repeated cancellations return the same order and append one event`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 10);
    const { orderId } = await place(shop, [{ sku: 'a', quantity: 1 }]);
    const cancels = Array.from({ length: 10 }, () =>
      shop.callOrder(CancelOrder, { orderId, reason: 'changed' }),
    );
    const answers = (await Promise.all(cancels)).map(({ order }) => order);
    t.is(answers[0]?.status, 'ORDER_STATUS_CANCELLED');
    for (const answer of answers) t.deepEqual(answer, answers[0]);
    t.deepEqual((await shop.callOrder(GetOrder, { orderId })).order, answers[0]);
    t.deepEqual(await events(shop), [
      [orderId, 'inventory', 'order.placed'],
      [orderId, 'inventory', 'order.cancelled'],
    ]);
  });

  test(`${engine}: an unknown order is refused with NOT_FOUND`, async (t) => {
    const shop = await openShop(t, engine);
    for (const method of [GetOrder, CancelOrder]) {
      t.like(await failureOf(shop.callOrder(method, { orderId: 'o' })), {
        code: status.NOT_FOUND,
        domain: 'shop',
        reason: 'ORDER_NOT_FOUND',
        metadata: { order_id: 'o' },
      });
    }
  });

  test(`${engine}: pages list each order once, the newest order first`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 200);
    await place(shop, [{ sku: 'a', quantity: 1 }], 'other');
    // Two orders have the same time, so that pages end between such orders.
    const placed: string[] = [];
    for (let i = 0; i < 7; i++) {
      if (i % 2) shop.clock.advance(1);
      placed.push((await place(shop, [{ sku: 'a', quantity: 1 }])).orderId);
    }
    const listed: Order__Output[] = [];
    let pageToken = '';
    do {
      const page = await shop.callOrder(ListOrders, { customerId: 'c', pageSize: 2, pageToken });
      t.is(page.orders.length, page.nextPageToken ? 2 : 1);
      listed.push(...page.orders);
      pageToken = page.nextPageToken;
      // A new order is newer than every following page, so no page lists it.
      shop.clock.advance(1);
      await place(shop, [{ sku: 'a', quantity: 1 }]);
    } while (pageToken);
    t.deepEqual(listed.map(({ orderId }) => orderId).sort(), placed.sort());
    const age = ({ createTime }: Order__Output) =>
      -Number(createTime?.seconds) - Number(createTime?.nanos) / 1e9;
    t.deepEqual(
      listed,
      [...listed].sort((a, b) => age(a) - age(b)),
    );
  });

  test(`${engine}: a page has 50 orders by default and 100 orders at most`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 101);
    // The orders are sequential: all of them reserve the same item, and concurrent calls might exceed their deadline.
    for (let orders = 0; orders < 101; orders++) await place(shop, [{ sku: 'a', quantity: 1 }]);
    const sizes = [0, 100, 1000].map(async (pageSize) => {
      const page = await shop.callOrder(ListOrders, { customerId: 'c', pageSize });
      return [page.orders.length, page.nextPageToken !== ''];
    });
    t.deepEqual(await Promise.all(sizes), [
      [50, true],
      [100, true],
      [100, true],
    ]);
    const empty = await shop.callOrder(ListOrders, { customerId: 'nobody' });
    t.deepEqual(empty, { orders: [], nextPageToken: '' });
  });

  test(`${engine}: a refusal of the inventory reaches the caller with its message and details`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 1);
    const tooMuch = await failureOf(place(shop, [{ sku: 'a', quantity: 2 }]));
    t.like(tooMuch, {
      code: status.FAILED_PRECONDITION,
      message: 'not enough stock of a',
      domain: 'shop',
      reason: 'INSUFFICIENT_STOCK',
      metadata: { sku: 'a', requested: '2', available: '1' },
    });
    const unknown = await failureOf(place(shop, [{ sku: 'gone', quantity: 2 }]));
    t.like(unknown, { code: status.NOT_FOUND, reason: 'ITEM_NOT_FOUND', metadata: { sku: 'gone' } });
    t.deepEqual([await events(shop), await reservations(shop)], [[], []]);
  });

  test(`${engine}: an order with two currencies is refused before it reserves stock`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5, 100, 'USD');
    await stock(shop, 'b', 5, 100, 'EUR');
    const lines = ['a', 'b'].map((sku) => ({ sku, quantity: 1 }));
    t.like(await failureOf(place(shop, lines)), {
      code: status.FAILED_PRECONDITION,
      domain: 'shop',
      reason: 'MIXED_CURRENCIES',
      metadata: { currencies: 'EUR,USD' },
    });
    t.deepEqual(await reservations(shop), []);
  });

  test(`${engine}: an order with a total out of range is refused and its reservation released`, async (t) => {
    const shop = await openShop(t, engine);
    const skus = Array.from({ length: 10 }, (_, i) => `s${i}`);
    for (const sku of skus) await stock(shop, sku, 1_000_000, 10 ** 12);
    const lines = skus.map((sku) => ({ sku, quantity: 1_000_000 }));
    t.like(await failureOf(place(shop, lines)), {
      code: status.OUT_OF_RANGE,
      reason: 'TOTAL_OUT_OF_RANGE',
      metadata: { total_minor: '10000000000000000000' },
    });
    t.deepEqual(await reservations(shop), ['RELEASED']);
    const fits = await place(shop, lines.slice(1));
    t.is(fits.totalMinor, '9000000000000000000');
  });

  test(`${engine}: a reservation with wrong fields is refused with INVALID_ARGUMENT`, async (t) => {
    const shop = await openShop(t, engine);
    const call = shop.inventory.reserve([{ sku: '', quantity: 0 }], 0);
    const error = await t.throwsAsync(call);
    t.like(error, { name: 'ServiceError', code: status.INVALID_ARGUMENT });
  });

  test(`${engine}: concurrent orders sell exactly the available stock`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 10);
    await stock(shop, 'b', 10);
    const calls = Array.from({ length: 30 }, (_, i) => {
      const skus = i % 2 ? ['a', 'b'] : ['b', 'a'];
      return place(
        shop,
        skus.map((sku) => ({ sku, quantity: 1 })),
      );
    });
    const results = await Promise.allSettled(calls);
    t.is(results.filter(({ status }) => status === 'fulfilled').length, 10);
    t.is((await events(shop)).length, 10);
    t.deepEqual(await stockOf(shop.database, 'a'), [10, 10]);
    t.deepEqual(await stockOf(shop.database, 'b'), [10, 10]);
    const { item } = await shop.callInventory(inventoryService.GetItem, { sku: 'a' });
    t.is(item?.available, '0');
  });
}
