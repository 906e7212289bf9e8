import { Client, credentials } from '@grpc/grpc-js';
import {
  createIdempotencyInterceptor,
  createRetryServiceConfig,
  type Intent,
  newIntent,
  sendUntilKnown,
} from 'grpc-replay-guard/client';
import { orderService } from '#src/rpc/definitions.js';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import type { Random } from '../../helpers/faults/seeded-random.js';
import type { EventCounts } from './event-counts.js';
import { ATTEMPT_MS, CALLS_PER_CLIENT, CLIENTS, ORDERS } from './settings.js';

/** The items that clients order. */
export const SKUS = ['cocoa', 'coffee', 'mate', 'tea'] as const;

/** One order of a customer, with the key that its client keeps until the outcome is known. */
export interface WantedOrder {
  readonly intent: Intent;
  /** Unique to this order, so the order can be found in the database. */
  readonly customerId: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
}

/** An event of a client: it sends an operation, or learns an outcome. */
export type ClientEvent =
  | { readonly type: 'invoke'; readonly wantedOrder: WantedOrder }
  | {
      readonly type: 'ok';
      readonly wantedOrder: WantedOrder;
      readonly bytes: Buffer;
      readonly replayed: boolean;
    }
  | { readonly type: 'unknown' | 'refused'; readonly wantedOrder: WantedOrder; readonly why: string };

/** Clients that place one order for each customer, and retry each order until its outcome is known. */
export class OrderClients {
  readonly wantedOrders: readonly WantedOrder[];
  readonly history: ClientEvent[] = [];
  readonly #t: Cleanup;
  readonly #random: Random;
  readonly #counts: EventCounts;

  constructor(t: Cleanup, random: Random, counts: EventCounts) {
    this.#t = t;
    this.#random = random;
    this.#counts = counts;
    this.wantedOrders = Array.from({ length: ORDERS }, (_, index) => this.#wantedOrder(index));
  }

  /**
   * Places every order. Resolves when the outcome of each order is known.
   * @param beforeOrder called with the index of an order and awaited before the order is placed
   * @throws Error when `signal` is aborted before all outcomes are known
   */
  async placeAll(
    address: string,
    signal: AbortSignal,
    beforeOrder?: (index: number) => unknown,
  ): Promise<void> {
    const pending = this.wantedOrders.entries();
    const clients = Array.from({ length: CLIENTS }, () => this.#client(address));
    const callers = clients.flatMap((client) => Array.from({ length: CALLS_PER_CLIENT }, () => client));
    await Promise.all(
      callers.map(async (client) => {
        for (const [index, wantedOrder] of pending) {
          await beforeOrder?.(index);
          do
            if (signal.aborted)
              throw new Error(`too slow: only ${this.#known} of ${ORDERS} orders are known`);
          while (!(await this.#place(client, wantedOrder)));
        }
      }),
    );
  }

  get #known(): number {
    return new Set(this.history.flatMap(({ type, wantedOrder }) => (type === 'ok' ? [wantedOrder] : [])))
      .size;
  }

  /** Sends every order once more, without network faults. */
  async confirmAll(address: string): Promise<void> {
    const client = this.#client(address);
    for (const wantedOrder of this.wantedOrders) await this.#place(client, wantedOrder);
  }

  /** Sends the order until its outcome is known or the attempts end. Resolves to whether the outcome is known. */
  async #place(client: Client, wantedOrder: WantedOrder): Promise<boolean> {
    const { path, requestSerialize } = orderService.PlaceOrder;
    const { intent, customerId, lines } = wantedOrder;
    this.history.push({ type: 'invoke', wantedOrder });
    const outcome = await sendUntilKnown<Buffer>(
      (...sent) => {
        this.#counts.add('attempts');
        const request = { customerId, lines: [...lines] };
        return client.makeUnaryRequest(path, requestSerialize, (bytes) => bytes, request, ...sent);
      },
      {
        ...{ intent, attemptTimeoutMs: ATTEMPT_MS, initialBackoffMs: 20, maxBackoffMs: 500 },
        random: this.#random,
      },
    );
    if (outcome.outcome === 'done') {
      this.history.push({ type: 'ok', wantedOrder, bytes: outcome.response, replayed: outcome.replayed });
      return true;
    }
    const why = outcome.outcome === 'refused' ? outcome.details : String(outcome.lastError?.message);
    this.history.push({ type: outcome.outcome, wantedOrder, why });
    if (outcome.outcome === 'unknown') this.#counts.add('temporarily unknown');
    return outcome.outcome === 'refused';
  }

  #wantedOrder(index: number): WantedOrder {
    const amount = () => 1 + Math.floor(this.#random() * 3);
    const first = Math.floor(this.#random() * SKUS.length);
    const chosen = [SKUS[first], SKUS[(first + amount()) % SKUS.length]];
    const lines = chosen.map((sku) => ({ sku: String(sku), quantity: amount() }));
    return { intent: newIntent(), customerId: `customer ${index}`, lines };
  }

  #client(address: string): Client {
    const client = new Client(address, credentials.createInsecure(), {
      interceptors: [createIdempotencyInterceptor()],
      'grpc.service_config': JSON.stringify(createRetryServiceConfig({ initialBackoffMs: 20 })),
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
    });
    this.#t.teardown(() => client.close());
    return client;
  }
}
