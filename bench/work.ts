import { randomUUID } from 'node:crypto';
import type { Client } from '@grpc/grpc-js';
import { withIdempotencyKey } from 'grpc-replay-guard/client';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { type ClientMethod, callUnary } from '#src/rpc/unary-client.js';
import type { Subject } from './subject.js';

/** Makes one call of a round. `index` is the number of the call in its round. */
export type Call = (client: Client, index: number) => Promise<unknown>;

const SKUS = 64;
const sku = (index: number) => `sku-${index % SKUS}`;

const callWithKey = <Req, Res>(
  client: Client,
  method: ClientMethod<Req, Res>,
  request: NoInfer<Req>,
  key: string,
) => callUnary(client, method, request, { metadata: withIdempotencyKey(key) });

const receive = (client: Client, index: number, key: string) =>
  callWithKey(client, inventoryService.ReceiveStock, { sku: sku(index), quantity: 1 }, key);

const bytes = (value: Buffer) => value;
const empty = { path: '/bench.Empty/Empty', requestSerialize: bytes, responseDeserialize: bytes };

/** The measured calls, by name. */
export const work = {
  /** One transaction per call. */
  'ReceiveStock, new keys': (client, index) => receive(client, index, randomUUID()),
  /** A gRPC call to the inventory under a lease, and then one transaction. */
  'PlaceOrder, new keys': (client, index) =>
    callWithKey(
      client,
      orderService.PlaceOrder,
      { customerId: `customer-${index}`, lines: [{ sku: sku(index), quantity: 1 }] },
      randomUUID(),
    ),
  'ReceiveStock, replays': (client, index) => receive(client, index, `stored-${index % SKUS}`),
  'empty handler': (client) => callUnary(client, empty, Buffer.alloc(0)),
} satisfies Record<string, Call>;

/** The name of a measured call. */
export type WorkName = keyof typeof work;

/** Creates items with enough stock, and stores the replies that the replays read. */
export async function prepare({ clients: [client] }: Subject): Promise<void> {
  if (!client) return;
  for (let index = 0; index < SKUS; index++) {
    const item = { sku: sku(index), name: 'Thing', unitPriceMinor: '100', currency: 'EUR' };
    await callUnary(client, inventoryService.PutItem, item);
    await callWithKey(
      client,
      inventoryService.ReceiveStock,
      { sku: sku(index), quantity: 1_000_000 },
      randomUUID(),
    );
    await receive(client, index, `stored-${index}`);
  }
}
