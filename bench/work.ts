import { randomUUID } from 'node:crypto';
import type { Client } from '@grpc/grpc-js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { ask, type ClientMethod } from '#src/rpc/unary-client.js';
import type { Subject } from './subject.js';

/** What one call of a round does; `index` counts the calls of the round. */
export type Call = (client: Client, index: number) => Promise<unknown>;

const SKUS = 64;
const sku = (index: number) => `sku-${index % SKUS}`;

const withKey = <Req, Res>(
  client: Client,
  method: ClientMethod<Req, Res>,
  request: NoInfer<Req>,
  key: string,
) => ask(client, method, request, { metadata: { 'idempotency-key': key } });

const receive = (client: Client, index: number, key: string) =>
  withKey(client, inventoryService.ReceiveStock, { sku: sku(index), quantity: 1 }, key);

const bytes = (value: Buffer) => value;
const empty = { path: '/bench.Empty/Empty', requestSerialize: bytes, responseDeserialize: bytes };

/** The calls that are measured, by name. */
export const work = {
  /** One transaction. */
  'ReceiveStock, new keys': (client, index) => receive(client, index, randomUUID()),
  /** A gRPC call to the inventory under a lease, then a transaction. */
  'PlaceOrder, new keys': (client, index) =>
    withKey(
      client,
      orderService.PlaceOrder,
      { customerId: `customer-${index}`, lines: [{ sku: sku(index), quantity: 1 }] },
      randomUUID(),
    ),
  'ReceiveStock, replays': (client, index) => receive(client, index, `stored-${index % SKUS}`),
  'empty handler': (client) => ask(client, empty, Buffer.alloc(0)),
} satisfies Record<string, Call>;

export type WorkName = keyof typeof work;

/** Puts items with plenty of stock, and stores the replies that the replays ask for. */
export async function prepare({ clients: [client] }: Subject): Promise<void> {
  if (!client) return;
  for (let index = 0; index < SKUS; index++) {
    const item = { sku: sku(index), name: 'Thing', unitPriceMinor: '100', currency: 'EUR' };
    await ask(client, inventoryService.PutItem, item);
    await withKey(
      client,
      inventoryService.ReceiveStock,
      { sku: sku(index), quantity: 1_000_000 },
      randomUUID(),
    );
    await receive(client, index, `stored-${index}`);
  }
}
