import { credentials, status } from '@grpc/grpc-js';
import type { ExecutionContext, TestFn } from 'ava';
import { createReplayGuard, singleTenant, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor } from 'grpc-replay-guard/client';
import type { Database } from 'grpc-replay-guard/database';
import { createRelay, type DeadLetter, type Outbox, type Relay } from 'grpc-replay-guard/outbox';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { createInventoryClient } from '#src/fulfilment/inventory-client.js';
import { createOrderDeliveries } from '#src/fulfilment/order-deliveries.js';
import { createOrderOutbox } from '#src/fulfilment/order-outbox.js';
import { createInventoryHandlers } from '#src/inventory/handlers.js';
import { createHoldExpiry, type HoldExpiry } from '#src/inventory/hold-expiry.js';
import { createOrderHandlers } from '#src/order/handlers.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { Connection } from '../helpers/calls/call.js';
import { administer } from '../helpers/databases/administer.js';
import { type Engine, freshData } from '../helpers/databases/engines.js';
import { rounds } from '../helpers/databases/outbox.js';
import { FaultPlan } from '../helpers/faults/fault-plan.js';
import { startServer } from '../helpers/servers/server.js';
import { openTables, silentFailures, stockOf, TestClock } from '../helpers/servers/shop.js';

const { PlaceOrder, CancelOrder, GetOrder } = orderService;
const { GetReservation } = inventoryService;

const STOCK = 5;
const QUANTITY = 2;
const HOLD_MS = 15 * 60_000;

/** An action on an order. `relay` delivers its events. `expire` advances the clock beyond the hold. */
type Action = 'place' | 'relay' | 'cancel' | 'expire';

const scenarios = {
  'confirmed, then cancelled': ['place', 'relay', 'cancel', 'relay'],
  'cancelled before it is confirmed': ['place', 'cancel', 'relay'],
  'confirmed too late': ['place', 'expire', 'relay'],
} as const satisfies Record<string, readonly Action[]>;

/** The reaction of a client to a failed call. */
type ClientReaction = 'retries' | 'gives up';

/** The server that fails, the scenario, and the reactions of the client. */
const sweeps: readonly ['order' | 'inventory', keyof typeof scenarios, readonly ClientReaction[]][] = [
  ['order', 'confirmed, then cancelled', ['retries', 'gives up']],
  ['order', 'cancelled before it is confirmed', ['gives up']],
  ['order', 'confirmed too late', ['retries', 'gives up']],
  ['inventory', 'confirmed, then cancelled', ['gives up']],
  ['inventory', 'confirmed too late', ['retries']],
];

class FaultyShop {
  /** The faults of the order server with its relay, and of the inventory server. */
  readonly faults = { order: new FaultPlan(), inventory: new FaultPlan() };
  readonly #clock = new TestClock();
  readonly #t: ExecutionContext;
  readonly #database: Database;
  #orders!: Connection;
  #inventory!: Connection;
  #relay!: Relay;
  #outbox!: Outbox;
  #holdExpiry!: HoldExpiry;

  private constructor(t: ExecutionContext, database: Database) {
    this.#t = t;
    this.#database = database;
  }

  static async open(t: ExecutionContext, engine: Engine): Promise<FaultyShop> {
    const data = await freshData(t, engine);
    // The test needs the order of commits, but no durability after a power failure.
    const skipFsync = `ALTER DATABASE ${new URL(data.url).pathname.slice(1)} SET synchronous_commit = off`;
    if (engine === 'postgres') await administer(data.url, skipFsync);
    await openTables(data);
    const { store, database } = await data.open({ lockTimeoutMs: 10_000, maxConnections: 8 });
    const shop = new FaultyShop(t, database);
    await shop.#serve(store);
    return shop;
  }

  async #serve(store: IdempotencyStore): Promise<void> {
    const clock = this.#clock;
    const shared = { clock, ids: { next: stableId }, failures: silentFailures };
    const { order: orderFaults, inventory: inventoryFaults } = this.faults;
    const guardOf = (plan: FaultPlan) => {
      const guard = createReplayGuard({ store: plan.store(store), scope: singleTenant() });
      this.#t.teardown(() => guard.close());
      return guard;
    };

    const stock = { ...shared, database: inventoryFaults.database(this.#database) };
    const inventoryGuard = guardOf(inventoryFaults);
    const inventoryServer = await startServer(this.#t, {
      interceptors: [inventoryGuard.interceptor],
      services: [[inventoryGuard.protect(inventoryService), createInventoryHandlers(stock)]],
    });
    const client = createInventoryClient({
      address: inventoryServer.address,
      credentials: credentials.createInsecure(),
      interceptors: [createIdempotencyInterceptor()],
    });
    this.#t.teardown(() => client.close());
    this.#holdExpiry = createHoldExpiry({ ...stock, batch: 1_000 });

    const database = orderFaults.database(this.#database);
    const inventory = orderFaults.inventory(client);
    const outbox = createOrderOutbox(database, { webhook: undefined });
    this.#outbox = outbox;
    const orderGuard = guardOf(orderFaults);
    const orders = createOrderHandlers({ ...shared, database, inventory, outbox });
    const orderServer = await startServer(this.#t, {
      interceptors: [orderGuard.interceptor],
      services: [[orderGuard.protect(orderService), orders]],
    });
    this.#orders = orderServer.connect();
    this.#inventory = inventoryServer.connect();
    const deliveries = createOrderDeliveries({ database, inventory, outbox });
    this.#relay = createRelay({ outbox, destinations: { inventory: { deliveries } } });
  }

  /** Performs actions on one order. Its customer, its item and its keys contain `name`. */
  async perform(name: string, actions: readonly Action[]): Promise<void> {
    for (const action of actions) {
      if (action === 'place') await this.place(name);
      if (action === 'cancel') await this.cancel(name);
      if (action === 'relay') await rounds(this.#relay).catch(() => {});
      if (action === 'expire') this.#clock.advance(HOLD_MS);
    }
  }

  place(name: string) {
    const request = { customerId: name, lines: [{ sku: name, quantity: QUANTITY }] };
    return this.#orders.call(PlaceOrder, request, { key: `place-${name}` });
  }

  /** Cancels the customer's order. If the customer has no order, the call names an unknown order. */
  async cancel(name: string) {
    const [order] = await this.ordersOf(name);
    const request = { orderId: order?.orderId ?? 'none', reason: 'changed my mind' };
    return this.#orders.call(CancelOrder, request, { key: `cancel-${name}-${request.orderId}` });
  }

  /** Reads the orders directly from the database, because the servers may be down. */
  async ordersOf(name: string) {
    const rows = await this.#database.query(
      'SELECT order_id, status, reservation_id FROM orders WHERE customer_id = $1',
      [name],
    );
    return rows.map((row) => ({
      orderId: String(row.order_id),
      status: String(row.status),
      reservationId: String(row.reservation_id),
    }));
  }

  async putStock(name: string): Promise<void> {
    await this.#database.query(
      `INSERT INTO inventory_items (sku, name, unit_price_minor, currency, on_hand, reserved)
       VALUES ($1, $1, 450, 'EUR', $2, 0)`,
      [name, STOCK],
    );
  }

  /** Delivers every event and expires every hold without faults. */
  async drain(): Promise<void> {
    for (const _ of ['pending events', 'events of expired holds']) {
      await this.#database.query('UPDATE replay_guard_outbox SET due_at = 0 WHERE ended_at IS NULL');
      await rounds(this.#relay);
      this.#clock.advance(HOLD_MS);
      await this.#holdExpiry.runOnce();
    }
  }

  /** Checks the invariants of an order after `drain`. Returns the state of the order. */
  async check(name: string): Promise<string> {
    const pending = await this.#database.query('SELECT type FROM replay_guard_outbox WHERE ended_at IS NULL');
    this.#t.deepEqual(pending, [], `${name}: every event is delivered`);
    const held = await this.#database.query(
      `SELECT 1 AS one FROM inventory_reservations AS r JOIN inventory_reservation_lines AS l
         ON l.reservation_id = r.reservation_id WHERE l.sku = $1 AND r.state = 'HELD'`,
      [name],
    );
    this.#t.deepEqual(held, [], `${name}: no hold remains`);
    const orders = await this.ordersOf(name);
    this.#t.true(orders.length <= 1, `${name}: at most one order`);
    const [order] = orders;
    const sold = order?.status === 'PLACED' ? QUANTITY : 0;
    this.#t.deepEqual(
      await stockOf(this.#database, name),
      [STOCK - sold, 0],
      `${name}: the stock equals the orders`,
    );
    if (!order) return 'none';
    const shown = await this.#orders.call(GetOrder, { orderId: order.orderId });
    this.#t.is(String(shown.message?.order?.status), `ORDER_STATUS_${order.status}`);
    const { state } = await this.#reservation(order.reservationId);
    if (order.status === 'PLACED') this.#t.is(state, 'RESERVATION_STATE_CONFIRMED', name);
    return `${order.status} ${state}`;
  }

  /** Delivers an event of the order again after the guard has deleted the records of its keys. */
  async redeliver(name: string, type: string, laterMs: number): Promise<readonly DeadLetter[]> {
    const [order] = await this.ordersOf(name);
    await this.#database.query('DELETE FROM replay_guard_records WHERE TRUE');
    await this.#database.query(
      `UPDATE replay_guard_outbox SET ended_at = NULL, due_at = 0, first_attempt_at = first_attempt_at - $1
       WHERE aggregate = $2 AND type = $3`,
      [laterMs, String(order?.orderId), type],
    );
    await rounds(this.#relay);
    return this.#outbox.deadLetters();
  }

  stockOf(name: string) {
    return stockOf(this.#database, name);
  }

  async #reservation(reservationId: string) {
    const { message } = await this.#inventory.call(GetReservation, { reservationId });
    return { state: message?.reservation?.state };
  }
}

/** Tests that an order keeps its invariants on this engine when a server fails at any step. */
export function sagaSuite(test: TestFn, engine: Engine): void {
  test(`${engine}: a redelivery after the records have expired has no second effect`, async (t) => {
    const shop = await FaultyShop.open(t, engine);
    await shop.putStock('tea');
    await shop.perform('tea', scenarios['confirmed, then cancelled']);
    const day = 24 * 3_600_000;
    t.deepEqual(
      await shop.redeliver('tea', 'order.placed', 2 * day),
      [],
      'the reservation is already confirmed',
    );
    const [letter] = await shop.redeliver('tea', 'order.cancelled', 2 * day);
    t.regex(
      letter?.error ?? '',
      /the inventory refused the change: .* first sent too long ago/,
      'an operator must check whether the stock was returned',
    );
    t.deepEqual(await shop.stockOf('tea'), [STOCK, 0]);
  });

  for (const [server, scenario, clients] of sweeps) {
    const fault = server === 'order' ? 'an order server that crashes' : 'an inventory that fails';
    test(`${engine}: an order that is ${scenario} keeps its invariants with ${fault} at any step`, async (t) => {
      t.timeout(120_000);
      const shop = await FaultyShop.open(t, engine);
      for (const client of clients) await sweep(t, shop, server, scenarios[scenario], client);
    });
  }
}

/** Repeats the actions. The fault occurs one step later each time, until the actions end before the fault. */
async function sweep(
  t: ExecutionContext,
  shop: FaultyShop,
  server: 'order' | 'inventory',
  actions: readonly Action[],
  client: ClientReaction,
): Promise<void> {
  const plan = shop.faults[server];
  const ends = new Map<string, number>();
  let step = 0;
  do {
    const name = `${client.replace(' ', '-')}-${++step}`;
    await shop.putStock(name);
    plan.begin(step, server === 'order' ? 'crash' : 'continue');
    await shop.perform(name, actions);
    const { triggered } = plan;
    plan.begin();
    if (client === 'retries') {
      t.is((await shop.place(name)).code, status.OK, name);
      if (actions.includes('cancel')) t.is((await shop.cancel(name)).code, status.OK, name);
    }
    await shop.drain();
    const end = await shop.check(name);
    ends.set(end, (ends.get(end) ?? 0) + 1);
    if (!triggered) break;
  } while (step < 1_000);
  t.log(`${client}: ${step} steps`, Object.fromEntries(ends));
  t.true(step > 15 && step < 1_000, 'the fault occurred at every step');
}
