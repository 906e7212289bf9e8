import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { CallSettings, Connection, Method, Reply } from '../../helpers/calls/call.js';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import { post } from '../../helpers/messages/signed-webhook.js';
import { connectTo } from '../../helpers/servers/server.js';

/** The items of the usual calls. Calls for one item wait for each other, because each changes its stock. */
const ITEMS = ['cocoa', 'mate', 'milk', 'rooibos', 'sugar', 'tea'];
/** The item whose row is locked during the load. */
export const LOCKED_ITEM = 'coffee';

/** UNAVAILABLE, and the deadline of an attempt: the outcome of the call is unknown. */
const UNKNOWN_OUTCOMES: readonly number[] = [14, 4];
const ATTEMPT_MS = 8_000;
const RETRY_MS = 500;
/** How long a client repeats a call, in milliseconds. */
const PATIENCE_MS = 60_000;

/** Clients of two servers, which send calls at fixed rates and repeat a call with its key until its outcome is known. */
export class Clients {
  /** How many times each call is sent again after its reply. */
  repeats = 0;
  readonly #connections: readonly Connection[];
  readonly #opsPorts: readonly number[];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #running = new Set<Promise<unknown>>();
  #next = 0;
  #nextItem = 0;

  /** @param ops the `host:port` of the operations listener of each server */
  constructor(t: Cleanup, grpc: readonly string[], ops: readonly string[]) {
    const reconnect = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 };
    this.#connections = grpc.map((address) => connectTo(t, address, undefined, reconnect));
    this.#opsPorts = ops.map((address) => Number(address.split(':').at(-1)));
    t.teardown(() => this.stop());
  }

  /** Creates the items. */
  async stock(): Promise<void> {
    for (const sku of [...ITEMS, LOCKED_ITEM]) {
      const item = { sku, name: sku, unitPriceMinor: '450', currency: 'EUR' };
      await this.#send(inventoryService.PutItem, item, {});
      await this.#send(inventoryService.ReceiveStock, { sku, quantity: 100_000 }, { key: randomUUID() });
    }
  }

  /** Starts the usual calls: orders, receipts of goods, reads and messages. */
  startUsual(): void {
    this.every(150, () => this.order(this.#item));
    this.every(200, () => this.receive(this.#item));
    this.every(300, () => this.#send(inventoryService.GetItem, { sku: this.#item }, {}));
    // A client that leaves soon.
    this.every(1_000, () =>
      this.#call(orderService.PlaceOrder, orderOf(this.#item), { key: randomUUID(), deadlineMs: 3 }),
    );
    this.every(1_000, () => this.#message(randomUUID()));
    // A broker that delivers some messages twice.
    this.every(3_000, () => this.#message('delivered-again'));
  }

  /** Starts calls that the guard refuses. Returns a function that ends them. */
  startRefused(): () => void {
    const used = randomUUID();
    const timers = [
      this.every(700, async () => {
        await this.receive('tea', { key: used, quantity: 1 });
        await this.receive('tea', { key: used, quantity: 2 });
      }),
      this.every(900, () => this.#call(inventoryService.ReceiveStock, { sku: 'tea', quantity: 1 }, {})),
      this.every(1_300, () =>
        this.#call(inventoryService.ReceiveStock, { sku: 'tea', quantity: 1 }, { key: 'with a space' }),
      ),
    ];
    return () => timers.forEach(clearInterval);
  }

  /** Repeats an action at a fixed rate, without waiting for its end. */
  every(ms: number, action: () => Promise<unknown>): NodeJS.Timeout {
    const timer = setInterval(() => void this.track(action()), ms);
    this.#timers.push(timer);
    return timer;
  }

  /** Adds an operation for which `stop` waits. A message to a server that is down may fail. */
  track(operation: Promise<unknown>): void {
    const ended = operation.catch(() => {}).finally(() => this.#running.delete(ended));
    this.#running.add(ended);
  }

  /** Places an order, on any server. */
  order(sku: string): Promise<void> {
    return this.#send(orderService.PlaceOrder, orderOf(sku), { key: randomUUID() });
  }

  /** Adds to the stock of an item, on any server. */
  receive(sku: string, { key = randomUUID() as string, quantity = 1 } = {}) {
    return this.#send(inventoryService.ReceiveStock, { sku, quantity }, { key });
  }

  /** Ends the calls at fixed rates, and resolves when the running operations have ended. */
  async stop(): Promise<void> {
    this.#timers.forEach(clearInterval);
    await Promise.all(this.#running);
  }

  get #item(): string {
    return String(ITEMS[this.#nextItem++ % ITEMS.length]);
  }

  /** Sends a call until its outcome is known, then as often as `repeats` says. */
  async #send<Q, R>(method: Method<Q, R>, request: Q, settings: CallSettings): Promise<void> {
    const { repeats } = this;
    const until = performance.now() + PATIENCE_MS;
    while (
      UNKNOWN_OUTCOMES.includes((await this.#call(method, request, settings)).code) &&
      performance.now() < until
    )
      await pause(RETRY_MS);
    for (let repeat = 0; repeat < repeats; repeat++) await this.#call(method, request, settings);
  }

  /** Sends a call once, to the next server. */
  #call<Q, R>(method: Method<Q, R>, request: Q, settings: CallSettings): Promise<Reply<R>> {
    const connection = this.#connections[this.#next++ % this.#connections.length] as Connection;
    return connection.call(method, request, { deadlineMs: ATTEMPT_MS, ...settings });
  }

  #message(id: string): Promise<unknown> {
    const body = { type: 'goods.received', data: { sku: 'tea', quantity: 1 } };
    return post(this.#opsPorts[this.#next++ % this.#opsPorts.length] as number, { id, body });
  }
}

function orderOf(sku: string) {
  return { customerId: 'ada', lines: [{ sku, quantity: 1 }] };
}
