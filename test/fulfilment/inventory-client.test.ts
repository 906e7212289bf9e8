import { createServer, type Socket } from 'node:net';
import {
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  status,
} from '@grpc/grpc-js';
import test from 'ava';
import {
  ERROR_DOMAIN,
  FIRST_SENT_HEADER,
  KEY_HEADER,
  REASONS,
  REPLAYED_TRAILER,
  statusDetails,
} from 'grpc-replay-guard/protocol';
import { createInventoryClient } from '#src/fulfilment/inventory-client.js';
import type { InventoryServiceHandlers } from '#src/gen/shop/inventory/v1/InventoryService.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { createOrderHandlers } from '#src/order/handlers.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import {
  connect,
  failureOf,
  inventoryClient,
  openShop,
  randomIds,
  type Shop,
  serve,
  silent,
  stock,
} from '../helpers/servers/shop.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const { PlaceOrder } = orderService;
const order = { customerId: 'c', lines: [{ sku: 'a', quantity: 1 }] };

/** Serves the shop's order service with an inventory at another address. */
async function ordersOn(t: Cleanup, shop: Shop, address: string) {
  const inventory = inventoryClient(t, address);
  const handlers = createOrderHandlers({ ...shop, inventory, ids: randomIds, log: silent });
  return connect(t, await serve(t, orderService, handlers));
}

/** Serves the shop's inventory with the handlers of `change`. Returns its address. */
function inventoryOf(
  t: Cleanup,
  shop: Shop,
  change: (real: InventoryServiceHandlers) => Partial<InventoryServiceHandlers>,
) {
  const real = createInventoryHandlers({ ...shop, ids: randomIds, log: silent });
  return serve(t, inventoryService, Object.assign({ ...real }, change(real)));
}

const replayedTrailers = () => {
  const trailers = new Metadata();
  trailers.set(REPLAYED_TRAILER, 'true');
  return trailers;
};

test('a replayed reservation that has ended is skipped, and the order uses the next reservation', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 10);
  const stale = [
    await shop.inventory.reserve(order.lines, 60_000),
    await shop.inventory.reserve(order.lines, 60_000),
  ];
  const message = (id: string) => ({
    reservationId: id,
    state: 'RESERVATION_STATE_HELD' as const,
    lines: order.lines,
  });
  const stored = stale.map(({ reservationId }) => message(reservationId));
  await shop.inventory.release(stale[0]?.reservationId ?? '');
  shop.clock.advance(60_000);
  const address = await inventoryOf(t, shop, (real) => ({
    ReserveStock: (call, callback) => {
      const reservation = stored.shift();
      if (reservation) callback(null, { reservation }, replayedTrailers());
      else real.ReserveStock(call, callback);
    },
  }));
  const callOrder = await ordersOn(t, shop, address);
  const { order: placed } = await callOrder(PlaceOrder, order);
  t.false(stale.some(({ reservationId }) => reservationId === placed?.reservationId));
  const { state } = await shop.inventory.getReservation(placed?.reservationId ?? '');
  t.is(state, 'HELD');
});

test('a replayed reservation that is still held is used', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 10);
  const { reservationId } = await shop.inventory.reserve(order.lines, 60_000);
  const reservation = { reservationId, state: 'RESERVATION_STATE_RELEASED' as const, lines: [] };
  const address = await inventoryOf(t, shop, () => ({
    ReserveStock: (_call, callback) => callback(null, { reservation }, replayedTrailers()),
  }));
  const callOrder = await ordersOn(t, shop, address);
  const { order: placed } = await callOrder(PlaceOrder, order);
  t.is(placed?.reservationId, reservationId);
  t.is(placed?.totalMinor, '250');
});

test('an order becomes UNAVAILABLE if every replayed reservation has ended', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 10);
  const { reservationId } = await shop.inventory.reserve(order.lines, 60_000);
  await shop.inventory.release(reservationId);
  const address = await inventoryOf(t, shop, () => ({
    ReserveStock: (_call, callback) => callback(null, { reservation: { reservationId } }, replayedTrailers()),
  }));
  const callOrder = await ordersOn(t, shop, address);
  t.is((await failureOf(callOrder(PlaceOrder, order))).code, status.UNAVAILABLE);
});

for (const code of [
  status.DEADLINE_EXCEEDED,
  status.INTERNAL,
  status.RESOURCE_EXHAUSTED,
  status.UNAUTHENTICATED,
]) {
  test(`an inventory that answers ${status[code]} makes the order UNAVAILABLE without its details`, async (t) => {
    const shop = await openShop(t, 'sqlite');
    await stock(shop, 'a', 10);
    const address = await inventoryOf(t, shop, () => ({
      ReserveStock: (_call, callback) => callback({ code, details: 'secret' }),
    }));
    const callOrder = await ordersOn(t, shop, address);
    t.deepEqual(await failureOf(callOrder(PlaceOrder, order)), {
      code: status.UNAVAILABLE,
      message: 'the inventory is unavailable, try again',
    });
  });
}

test('a confirmation that fails with UNAVAILABLE is retried with the same key', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 10);
  const { reservationId } = await shop.inventory.reserve(order.lines, 60_000);
  const keys: unknown[] = [];
  const sent = new Set<unknown>();
  const firstAt = new Date(Date.UTC(2026, 0, 31, 8, 30));
  const address = await inventoryOf(t, shop, (real) => ({
    ConfirmReservation: (call, callback) => {
      keys.push(...call.metadata.get(KEY_HEADER));
      sent.add(call.metadata.get(FIRST_SENT_HEADER)[0]);
      if (keys.length < 3) callback({ code: status.UNAVAILABLE });
      else real.ConfirmReservation(call, callback);
    },
  }));
  const inventory = inventoryClient(t, address);
  t.is((await inventory.confirm(reservationId, { key: 'event-1', firstAt })).state, 'CONFIRMED');
  t.deepEqual(keys, ['event-1', 'event-1', 'event-1']);
  t.deepEqual([...sent], ['2026-01-31T08:30:00.000Z']);
});

test('an aborted signal cancels the attempt at the inventory', async (t) => {
  const shop = await openShop(t, 'sqlite');
  const [received, cancelled] = [new Barrier(), new Barrier()];
  const address = await inventoryOf(t, shop, () => ({
    ConfirmReservation: (call) => {
      call.once('cancelled', () => void cancelled.pass());
      void received.pass();
    },
  }));
  const giveUp = new AbortController();
  const attempt = inventoryClient(t, address).confirm('r', { key: 'event-1', signal: giveUp.signal });
  const failed = t.throwsAsync(attempt, { name: 'ServiceError' });
  await received.reached();
  giveUp.abort();
  await cancelled.reached();
  await failed;
});

test('the client adds no key to a reservation, and a release has a default key', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 10);
  const calls: [string, unknown[]][] = [];
  const record = (name: string, { metadata }: ServerUnaryCall<never, never>) =>
    calls.push([name, metadata.get(KEY_HEADER)]);
  const address = await inventoryOf(t, shop, (real) => ({
    ReserveStock: (call, callback) => {
      record('reserve', call as never);
      real.ReserveStock(call, callback);
    },
    ReleaseReservation: (call, callback) => {
      record('release', call as never);
      real.ReleaseReservation(call, callback);
    },
  }));
  const inventory = inventoryClient(t, address);
  const { reservationId } = await inventory.reserve(order.lines, 60_000);
  await inventory.release(reservationId);
  await inventory.release(reservationId, { key: 'event-2' });
  t.deepEqual(calls, [
    ['reserve', []],
    ['release', [`release:${reservationId}`]],
    ['release', ['event-2']],
  ]);
});

test('calls fail with UNAVAILABLE while the inventory is down and succeed after its restart', async (t) => {
  const shop = await openShop(t, 'sqlite');
  await stock(shop, 'a', 10);
  const port = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
  const callOrder = await ordersOn(t, shop, `127.0.0.1:${port}`);
  t.is((await failureOf(callOrder(PlaceOrder, order))).code, status.UNAVAILABLE);
  const server = new Server();
  server.addService(inventoryService, createInventoryHandlers({ ...shop, ids: randomIds, log: silent }));
  t.teardown(() => server.forceShutdown());
  await new Promise((resolve) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), resolve),
  );
  let placed: unknown;
  // grpc-js reconnects after a backoff. Each call waits for a part of the backoff.
  while (!placed) placed = await callOrder(PlaceOrder, order).catch(() => undefined);
  t.truthy(placed);
});

test('a call to an inventory that never answers ends after its timeout', async (t) => {
  const sockets = new Set<Socket>();
  const mute = createServer((socket) => sockets.add(socket.resume()));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    mute.close();
  });
  const { port } = mute.address() as { port: number };
  const address = `127.0.0.1:${port}`;
  const inventory = createInventoryClient({
    address,
    credentials: credentials.createInsecure(),
    timeoutMs: 50,
  });
  t.teardown(() => inventory.close());
  const error = await t.throwsAsync(inventory.getReservation('r'));
  t.like(error, { name: 'ServiceError', code: status.UNAVAILABLE });
});

for (const [code, reason] of [
  [status.FAILED_PRECONDITION, REASONS.KEY_REUSED],
  [status.FAILED_PRECONDITION, REASONS.KEY_EXPIRED],
  [status.INVALID_ARGUMENT, REASONS.KEY_INVALID],
  [status.RESOURCE_EXHAUSTED, REASONS.QUOTA_EXCEEDED],
] as const) {
  test(`${reason} of the inventory reaches the caller of an order without the refusal`, async (t) => {
    const shop = await openShop(t, 'sqlite');
    await stock(shop, 'a', 10);
    const trailers = new Metadata();
    const errorInfo = { reason, domain: ERROR_DOMAIN };
    trailers.set('grpc-status-details-bin', statusDetails(code, 'refused', [{ errorInfo }]));
    trailers.set('idempotency-expires-at', '2100-01-01T00:00:00.000Z');
    const address = await inventoryOf(t, shop, () => ({
      ReserveStock: (_call, callback) => callback({ code, details: 'refused', metadata: trailers }),
    }));
    const {
      reason: received,
      domain,
      ...failure
    } = await failureOf((await ordersOn(t, shop, address))(PlaceOrder, order));
    t.is(failure.code, code);
    const isQuota = reason === REASONS.QUOTA_EXCEEDED;
    t.deepEqual([received, domain], isQuota ? ['INVENTORY_QUOTA_EXCEEDED', 'shop'] : [undefined, undefined]);
  });
}
