import { status } from '@grpc/grpc-js';
import test from 'ava';
import { type Database, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { pino } from 'pino';
import { expireReservation } from '#src/inventory/end-reservation.js';
import { createHoldExpiry } from '#src/inventory/hold-expiry.js';
import { Items } from '#src/inventory/items.js';
import { Reservations } from '#src/inventory/reservations.js';
import { inventoryService } from '#src/rpc/definitions.js';
import { engines } from '../helpers/databases/engines.js';
import { failureOf, openShop, type Shop, silentFailures, stock, stockOf } from '../helpers/servers/shop.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const { PutItem, ReceiveStock, ReserveStock, ConfirmReservation } = inventoryService;
const { ReleaseReservation, GetItem, GetReservation } = inventoryService;

const HOLD_MS = 15 * 60_000;

async function reserve(shop: Shop, ...lines: [sku: string, quantity: number][]) {
  const request = { lines: lines.map(([sku, quantity]) => ({ sku, quantity })) };
  const { reservation } = await shop.callInventory(ReserveStock, request);
  if (!reservation) throw new Error('no reservation');
  return reservation;
}

async function stateOf(shop: Shop, reservationId: string) {
  return (await shop.callInventory(GetReservation, { reservationId })).reservation?.state;
}

const holdExpiry = (shop: Shop, batch = 100) =>
  createHoldExpiry({ database: shop.database, clock: shop.clock, failures: silentFailures, batch });

for (const engine of engines) {
  test(`${engine}: a second put changes an item and keeps its stock`, async (t) => {
    const shop = await openShop(t, engine);
    const first = { sku: 'pen', name: 'Pen', unitPriceMinor: '120', currency: 'EUR' };
    t.like((await shop.callInventory(PutItem, first)).item, { ...first, onHand: '0', reserved: '0' });
    t.is((await shop.callInventory(ReceiveStock, { sku: 'pen', quantity: 5 })).item?.onHand, '5');
    await reserve(shop, ['pen', 2]);
    const second = { sku: 'pen', name: 'Better pen', unitPriceMinor: '1000000000000', currency: 'USD' };
    const expected = { ...second, onHand: '5', reserved: '2', available: '3' };
    t.deepEqual((await shop.callInventory(PutItem, second)).item, expected);
    t.deepEqual((await shop.callInventory(GetItem, { sku: 'pen' })).item, expected);
  });

  test(`${engine}: unknown items and reservations are refused with NOT_FOUND`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'here', 1);
    const lines = ['here', 'gone'].map((sku) => ({ sku, quantity: 1 }));
    const item = {
      code: status.NOT_FOUND,
      domain: 'shop',
      reason: 'ITEM_NOT_FOUND',
      metadata: { sku: 'gone' },
    };
    t.like(await failureOf(shop.callInventory(GetItem, { sku: 'gone' })), item);
    t.like(await failureOf(shop.callInventory(ReceiveStock, { sku: 'gone', quantity: 1 })), item);
    t.like(await failureOf(shop.callInventory(ReserveStock, { lines })), item);
    t.deepEqual(await stockOf(shop.database, 'here'), [1, 0]);
    for (const method of [GetReservation, ConfirmReservation, ReleaseReservation]) {
      t.like(await failureOf(shop.callInventory(method, { reservationId: 'r' })), {
        code: status.NOT_FOUND,
        reason: 'RESERVATION_NOT_FOUND',
        metadata: { reservation_id: 'r' },
      });
    }
  });

  test(`${engine}: a receipt is refused with OUT_OF_RANGE if the stock would not fit into its field`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 1);
    await shop.database.query('UPDATE inventory_items SET on_hand = $1', [2n ** 63n - 4n]);
    t.like(await failureOf(shop.callInventory(ReceiveStock, { sku: 'a', quantity: 4 })), {
      code: status.OUT_OF_RANGE,
      reason: 'STOCK_OUT_OF_RANGE',
      metadata: { sku: 'a', on_hand: '9223372036854775804' },
    });
    const { item } = await shop.callInventory(ReceiveStock, { sku: 'a', quantity: 3 });
    t.is(item?.onHand, '9223372036854775807');
  });

  test(`${engine}: a reservation merges lines of one sku, sorts them, and keeps the current price`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'b', 10, 300);
    await stock(shop, 'a', 10, 100);
    const reservation = await reserve(shop, ['b', 2], ['a', 1], ['b', 3]);
    t.deepEqual(reservation.lines, [
      { sku: 'a', quantity: 1, unitPriceMinor: '100' },
      { sku: 'b', quantity: 5, unitPriceMinor: '300' },
    ]);
    t.is(Number(reservation.expireTime?.seconds) * 1000, shop.clock.now() + HOLD_MS);
    await stock(shop, 'b', 0, 999);
    const { reservationId } = reservation;
    t.deepEqual((await shop.callInventory(GetReservation, { reservationId })).reservation, reservation);
  });

  test(`${engine}: a reservation with one insufficient line reserves no line`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 10);
    await stock(shop, 'b', 4);
    await reserve(shop, ['b', 1]);
    const lines = [
      { sku: 'a', quantity: 1 },
      { sku: 'b', quantity: 2 },
      { sku: 'b', quantity: 2 },
    ];
    t.like(await failureOf(shop.callInventory(ReserveStock, { lines })), {
      code: status.FAILED_PRECONDITION,
      domain: 'shop',
      reason: 'INSUFFICIENT_STOCK',
      metadata: { sku: 'b', requested: '4', available: '3' },
    });
    t.deepEqual(await stockOf(shop.database, 'a'), [10, 0]);
    t.deepEqual(await stockOf(shop.database, 'b'), [4, 1]);
  });

  const endings = {
    confirmed: (shop: Shop, reservationId: string) =>
      shop.callInventory(ConfirmReservation, { reservationId }),
    released: (shop: Shop, reservationId: string) =>
      shop.callInventory(ReleaseReservation, { reservationId }),
    overdue: async (shop: Shop) => shop.clock.advance(HOLD_MS),
    expired: async (shop: Shop) => {
      shop.clock.advance(HOLD_MS);
      await holdExpiry(shop).runOnce();
    },
  };
  const table = [
    ['confirmed', 'CONFIRMED', 'RESERVATION_CONFIRMED', [3, 0]],
    ['released', 'RESERVATION_RELEASED', 'RELEASED', [5, 0]],
    ['overdue', 'RESERVATION_EXPIRED', 'EXPIRED', [5, 0]],
    ['expired', 'RESERVATION_EXPIRED', 'EXPIRED', [5, 0]],
  ] as const;
  for (const [how, onConfirm, onRelease, stockAfter] of table) {
    test(`${engine}: a reservation that is ${how} keeps its state after confirmations and releases`, async (t) => {
      const shop = await openShop(t, engine);
      await stock(shop, 'a', 5);
      const { reservationId } = await reserve(shop, ['a', 2]);
      await endings[how](shop, reservationId);
      for (const [method, answer] of [
        [ConfirmReservation, onConfirm],
        [ReleaseReservation, onRelease],
        [ConfirmReservation, onConfirm],
      ] as const) {
        const call = shop.callInventory(method, { reservationId });
        if (answer.startsWith('RESERVATION_')) {
          const { code, reason } = await failureOf(call);
          t.deepEqual([code, reason], [status.FAILED_PRECONDITION, answer]);
        } else {
          t.is((await call).reservation?.state, `RESERVATION_STATE_${answer}` as never);
        }
      }
      t.deepEqual(await stockOf(shop.database, 'a'), [...stockAfter]);
    });
  }

  test(`${engine}: stock of an overdue hold is available before the hold is marked as expired`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await stock(shop, 'b', 5);
    await stock(shop, 'c', 1);
    const first = await reserve(shop, ['c', 1], ['a', 3]);
    const second = await reserve(shop, ['a', 2], ['b', 5]);
    shop.clock.advance(HOLD_MS - 1);
    t.is(await stateOf(shop, first.reservationId), 'RESERVATION_STATE_HELD');
    t.is((await shop.callInventory(GetItem, { sku: 'a' })).item?.available, '0');
    shop.clock.advance(1);
    t.is(await stateOf(shop, first.reservationId), 'RESERVATION_STATE_EXPIRED');
    t.like((await shop.callInventory(GetItem, { sku: 'a' })).item, { reserved: '0', available: '5' });
    await reserve(shop, ['a', 4], ['b', 5]);
    t.is(await stateOf(shop, second.reservationId), 'RESERVATION_STATE_EXPIRED');
    t.is(await holdExpiry(shop).runOnce(), 0);
    t.deepEqual(await stockOf(shop.database, 'a'), [5, 4]);
    t.deepEqual(await stockOf(shop.database, 'b'), [5, 5]);
    t.deepEqual(await stockOf(shop.database, 'c'), [1, 0]);
  });

  test(`${engine}: hold expiry expires overdue holds in batches and keeps other holds`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 10);
    for (let i = 0; i < 5; i++) await reserve(shop, ['a', 1]);
    shop.clock.advance(HOLD_MS);
    const { reservationId } = await reserve(shop, ['a', 1]);
    const expiry = holdExpiry(shop, 2);
    t.deepEqual([await expiry.runOnce(), await expiry.runOnce()], [2, 2]);
    t.deepEqual(await stockOf(shop.database, 'a'), [10, 2]);
    t.deepEqual([await expiry.runOnce(), await expiry.runOnce()], [1, 0]);
    t.deepEqual(await stockOf(shop.database, 'a'), [10, 1]);
    t.is(await stateOf(shop, reservationId), 'RESERVATION_STATE_HELD');
  });

  test(`${engine}: hold expiry logs a failed run and continues`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await reserve(shop, ['a', 2]);
    shop.clock.advance(HOLD_MS);
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => lines.push(line) });
    const { failures } = createLogObserver({ logger });
    let remaining = 1;
    const query: Database['query'] = async (sql, params) => {
      if (remaining-- > 0) throw new Error('the first query fails');
      return shop.database.query(sql, params);
    };
    const database: Database = {
      dialect: shop.database.dialect,
      query,
      execute: (sql, params) => shop.database.execute(sql, params),
      transaction: (work) => shop.database.transaction(work),
      afterCommit: (action) => shop.database.afterCommit(action),
      current: () => database,
      migrate: (component, steps) => shop.database.migrate(component, steps),
    };
    const expiry = createHoldExpiry({ database, clock: shop.clock, failures, intervalMs: 10 });
    expiry.start();
    await poll('the hold is expired', async () => (await stockOf(shop.database, 'a'))[1] === 0);
    await expiry.stop();
    t.is(lines.length, 1);
    t.is(JSON.parse(String(lines[0])).msg, 'overdue holds could not be read');
  });

  test(`${engine}: while holds can be read and not changed, the database counts as unavailable`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 5);
    await reserve(shop, ['a', 2]);
    shop.clock.advance(HOLD_MS);
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line).msg) });
    const { failures } = createLogObserver({ logger });
    let remaining = 3;
    const { database: own } = shop;
    const database: Database = {
      dialect: own.dialect,
      query: (sql, params) => own.query(sql, params),
      execute: (sql, params) => own.execute(sql, params),
      transaction: async (work) => {
        if (remaining-- > 0) throw new DatabaseUnavailableError('on purpose');
        return own.transaction(work);
      },
      afterCommit: (action) => own.afterCommit(action),
      current: () => database,
      migrate: (component, steps) => own.migrate(component, steps),
    };
    const expiry = createHoldExpiry({ database, clock: shop.clock, failures });
    for (let run = 0; run < 3; run++) t.is(await expiry.runOnce(), 0);
    t.deepEqual(lines, ['the database is unavailable']);
    t.is(await expiry.runOnce(), 1);
    await poll('the line about the recovery', () => lines.length > 1);
    t.deepEqual(lines, ['the database is unavailable', 'the database is available again']);
  });

  test(`${engine}: fifty concurrent reservations reserve exactly the available stock`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 20);
    // On a busy machine a call may find no free connection. Such a call has no effect and is repeated.
    const reserveWithRetry = (): ReturnType<typeof reserve> =>
      reserve(shop, ['a', 1]).catch((error) => {
        if (error.code !== status.UNAVAILABLE) throw error;
        return reserveWithRetry();
      });
    const results = await Promise.allSettled(Array.from({ length: 50 }, reserveWithRetry));
    t.is(results.filter(({ status }) => status === 'fulfilled').length, 20);
    t.deepEqual(await stockOf(shop.database, 'a'), [20, 20]);
    for (const result of results) {
      if (result.status === 'rejected') t.is(result.reason.code, status.FAILED_PRECONDITION);
    }
  });

  test(`${engine}: reservations with opposite orders of skus do not deadlock, also with overdue holds`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 20);
    await stock(shop, 'b', 20);
    const old = await Promise.all(Array.from({ length: 10 }, () => reserve(shop, ['b', 2], ['a', 2])));
    shop.clock.advance(HOLD_MS);
    const expiry = holdExpiry(shop);
    const sweeps = [expiry.runOnce(), expiry.runOnce()];
    const releases = old.map(({ reservationId }) =>
      shop.callInventory(ReleaseReservation, { reservationId }),
    );
    const calls = Array.from({ length: 40 }, (_, i) =>
      i % 2 ? reserve(shop, ['a', 1], ['b', 1]) : reserve(shop, ['b', 1], ['a', 1]),
    );
    const results = await Promise.allSettled(calls);
    await Promise.all([...sweeps, ...releases]);
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
    t.deepEqual(failures, Array(20).fill(status.FAILED_PRECONDITION));
    t.deepEqual(await stockOf(shop.database, 'a'), [20, 20]);
    t.deepEqual(await stockOf(shop.database, 'b'), [20, 20]);
  });

  test(`${engine}: after concurrent confirmations and releases, only one kind has succeeded`, async (t) => {
    const shop = await openShop(t, engine);
    await stock(shop, 'a', 10);
    const { reservationId } = await reserve(shop, ['a', 4]);
    const calls = Array.from({ length: 20 }, (_, i) =>
      shop.callInventory(i % 2 ? ConfirmReservation : ReleaseReservation, { reservationId }),
    );
    const results = await Promise.allSettled(calls);
    t.is(results.filter(({ status }) => status === 'fulfilled').length, 10);
    const confirmed = (await stateOf(shop, reservationId)) === 'RESERVATION_STATE_CONFIRMED';
    t.deepEqual(await stockOf(shop.database, 'a'), confirmed ? [6, 0] : [10, 0]);
  });
}

test('postgres: a receipt and a put that wait while an overdue hold expires report the stock after the expiry', async (t) => {
  const shop = await openShop(t, 'postgres');
  const { database, clock } = shop;
  await stock(shop, 'a', 10);
  const changes = {
    receipt: () => shop.callInventory(ReceiveStock, { sku: 'a', quantity: 1 }),
    put: () => shop.callInventory(PutItem, { sku: 'a', name: 'a', unitPriceMinor: '250', currency: 'EUR' }),
  };
  for (const change of Object.values(changes)) {
    const { reservationId } = await reserve(shop, ['a', 4]);
    clock.advance(HOLD_MS);
    const services = { database, items: new Items(database), reservations: new Reservations(database) };
    const expired = new Barrier();
    const expiring = database.transaction(async () => {
      t.true(await expireReservation(services, reservationId, clock.now()));
      await expired.pass();
    });
    await expired.reached();
    const changing = change();
    await poll('the change waits for the row', async () => {
      const waiting = `SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return (await database.query(waiting)).length > 0;
    });
    expired.open();
    await expiring;
    const { item } = await changing;
    const [onHand] = await stockOf(database, 'a');
    t.like(item, { onHand: String(onHand), reserved: '0', available: String(onHand) });
  }
});
