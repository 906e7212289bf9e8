import { randomUUID } from 'node:crypto';
import { type Client, Metadata } from '@grpc/grpc-js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { callUnary } from '#src/rpc/unary-client.js';
import type { Work } from '../servers/subject.js';
import { skuOf } from '../servers/tables.js';

/** The keys that hot replays repeat. */
const HOT_KEYS = 16;

/** Makes one call; `index` counts the calls of a run. */
export type Call = (client: Client, index: number) => Promise<unknown>;

/** The calls of one load process to one server. Cold replays repeat the keys of the last run with new keys. */
export class Calls {
  #prefix = randomUUID();
  #keys = 0;
  readonly #timeoutMs: number | undefined;

  /** @param timeoutMs the deadline of each call; a deadline costs the server a timer. Default: no deadline */
  constructor(timeoutMs?: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Returns the calls of one run, and how many of them there can be. */
  of(work: Work): { readonly call: Call; readonly max: number } {
    const run = randomUUID();
    switch (work) {
      case 'ReceiveStock, new key':
        this.#prefix = run;
        this.#keys = 0;
        return unlimited((client, index) => {
          this.#keys = Math.max(this.#keys, index + 1);
          return this.#receive(client, index, `${run}-${index}`);
        });
      case 'ReceiveStock, hot replay':
        return unlimited((client, index) =>
          this.#receive(client, index % HOT_KEYS, `hot-${index % HOT_KEYS}`),
        );
      case 'ReceiveStock, cold replay':
        return this.#coldReplays();
      case 'ReceiveStock, half duplicates':
        return unlimited((client, index) => this.#receive(client, index >> 1, `${run}-${index >> 1}`));
      case 'PlaceOrder, new key':
        return unlimited((client, index) => this.#placeOrder(client, index, `${run}-${index}`));
    }
  }

  #coldReplays(): { readonly call: Call; readonly max: number } {
    const [prefix, keys] = [this.#prefix, this.#keys];
    // Backwards, so that the order of the replays is not the order of the executions.
    return {
      call: (client, index) => this.#receive(client, keys - 1 - index, `${prefix}-${keys - 1 - index}`),
      max: keys,
    };
  }

  #receive(client: Client, index: number, key: string): Promise<unknown> {
    const request = { sku: skuOf(index), quantity: 1 };
    return callUnary(client, inventoryService.ReceiveStock, request, this.#options(key));
  }

  #placeOrder(client: Client, index: number, key: string): Promise<unknown> {
    const request = { customerId: `customer-${index}`, lines: [{ sku: skuOf(index), quantity: 1 }] };
    return callUnary(client, orderService.PlaceOrder, request, this.#options(key));
  }

  #options(key: string) {
    const metadata = new Metadata();
    metadata.set('idempotency-key', key);
    return this.#timeoutMs === undefined ? { metadata } : { metadata, timeoutMs: this.#timeoutMs };
  }
}

const unlimited = (call: Call) => ({ call, max: Number.MAX_SAFE_INTEGER });
