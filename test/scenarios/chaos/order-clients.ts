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
import type { Tally } from './event-counts.js';
import { ATTEMPT_MS, CALLS_PER_CLIENT, CLIENTS, ORDERS } from './settings.js';

export const SKUS = ['cocoa', 'coffee', 'mate', 'tea'] as const;

/** An order as its customer wants it, with the key that its client keeps until it knows. */
export interface Wish {
  readonly intent: Intent;
  /** Of this order alone: by it the order is known in the database. */
  readonly customerId: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
}

/** What a client did and saw, in the order in which it did. */
export type Deed =
  | { readonly what: 'invoke'; readonly wish: Wish }
  | { readonly what: 'ok'; readonly wish: Wish; readonly bytes: Buffer; readonly replayed: boolean }
  | { readonly what: 'unknown' | 'refused'; readonly wish: Wish; readonly why: string };

/** Customers that want an order each, by clients that ask until they know. */
export class Buyers {
  readonly wishes: readonly Wish[];
  readonly history: Deed[] = [];
  readonly #t: Cleanup;
  readonly #random: Random;
  readonly #tally: Tally;

  constructor(t: Cleanup, random: Random, tally: Tally) {
    this.#t = t;
    this.#random = random;
    this.#tally = tally;
    this.wishes = Array.from({ length: ORDERS }, (_, index) => this.#wish(index));
  }

  /**
   * Places every order; resolves when each is known. Once `signal` is aborted no more is asked.
   * @param turn what is waited for before an order is begun, by its index
   */
  async placeAll(address: string, signal: AbortSignal, turn?: (index: number) => unknown): Promise<void> {
    const left = this.wishes.entries();
    const clients = Array.from({ length: CLIENTS }, () => this.#client(address));
    const lanes = clients.flatMap((client) => Array.from({ length: CALLS_PER_CLIENT }, () => client));
    await Promise.all(
      lanes.map(async (client) => {
        for (const [index, wish] of left) {
          await turn?.(index);
          do if (signal.aborted) throw new Error(`too slow: ${this.#known} of ${ORDERS} orders are known`);
          while (!(await this.#ask(client, wish)));
        }
      }),
    );
  }

  get #known(): number {
    return new Set(this.history.flatMap(({ what, wish }) => (what === 'ok' ? [wish] : []))).size;
  }

  /** Asks once more for every order, by a line that is good. */
  async askAgain(address: string): Promise<void> {
    const client = this.#client(address);
    for (const wish of this.wishes) await this.#ask(client, wish);
  }

  /** Whether it is known now what became of the order. */
  async #ask(client: Client, wish: Wish): Promise<boolean> {
    const { path, requestSerialize } = orderService.PlaceOrder;
    const { intent, customerId, lines } = wish;
    this.history.push({ what: 'invoke', wish });
    const outcome = await sendUntilKnown<Buffer>(
      (...sent) => {
        this.#tally.add('attempts');
        const request = { customerId, lines: [...lines] };
        return client.makeUnaryRequest(path, requestSerialize, (bytes) => bytes, request, ...sent);
      },
      {
        ...{ intent, attemptTimeoutMs: ATTEMPT_MS, initialBackoffMs: 20, maxBackoffMs: 500 },
        random: this.#random,
      },
    );
    if (outcome.outcome === 'done') {
      this.history.push({ what: 'ok', wish, bytes: outcome.response, replayed: outcome.replayed });
      return true;
    }
    const why = outcome.outcome === 'refused' ? outcome.details : String(outcome.lastError?.message);
    this.history.push({ what: outcome.outcome, wish, why });
    if (outcome.outcome === 'unknown') this.#tally.add('unknown for a while');
    return outcome.outcome === 'refused';
  }

  #wish(index: number): Wish {
    const piece = () => 1 + Math.floor(this.#random() * 3);
    const first = Math.floor(this.#random() * SKUS.length);
    const chosen = [SKUS[first], SKUS[(first + piece()) % SKUS.length]];
    const lines = chosen.map((sku) => ({ sku: String(sku), quantity: piece() }));
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
