import { status } from '@grpc/grpc-js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import type { CallSettings, Connection, Method, Reply } from '../helpers/calls/call.js';
import { sendRawCall } from '../helpers/calls/raw-call.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import type { GuardedValues } from './guarded-values.js';
import type { Sink } from './sinks.js';

/** A client, and the metadata that identifies it. */
export interface Caller {
  readonly connection: Connection;
  readonly metadata: Readonly<Record<string, string>>;
}

type Values = GuardedValues['caller'];

const asIs = (bytes: Buffer) => bytes;

/** Makes one call in the name of a caller. */
function call<Q, R>(caller: Caller, method: Method<Q, R>, request: Q, settings: CallSettings = {}) {
  const metadata = { ...caller.metadata, ...(settings.metadata as Record<string, string | string[]>) };
  return caller.connection.call(method, request, { ...settings, metadata });
}

const orderOf = ({ customerId, sku, label }: Values, quantity = 1) => ({
  customerId,
  lines: [{ sku, quantity }],
  labels: { note: label },
});

/** Puts an item in stock and places an order, each with a replay. Returns the id of the order. */
export async function sendGoodCalls(caller: Caller, values: Values): Promise<string> {
  const { key, producer, sku, itemName: name, price: unitPriceMinor, reason, entry } = values;
  await succeed(call(caller, inventoryService.PutItem, { sku, name, unitPriceMinor, currency: 'EUR' }));
  await succeed(call(caller, inventoryService.ReceiveStock, { sku, quantity: 9 }, { key }));
  const settings = { key, metadata: { 'x-private': entry } };
  const { message } = await succeed(call(caller, orderService.PlaceOrder, orderOf(values), settings));
  await succeed(call(caller, orderService.PlaceOrder, orderOf(values), settings));
  for (const sequence of ['1', '1', '2']) {
    const numbered = { 'idempotency-producer': producer, 'idempotency-sequence': sequence };
    await succeed(call(caller, inventoryService.ReserveStock, reservation(values), { metadata: numbered }));
  }
  const orderId = String(message?.order?.orderId);
  await succeed(call(caller, orderService.CancelOrder, { orderId, reason }, { key }));
  return orderId;
}

/** Sends calls with new keys to each kind of method. Returns their status codes. */
export async function sendNewCalls(caller: Caller, values: Values, suffix: string): Promise<status[]> {
  const { key, producer, sku } = values;
  const numbered = { 'idempotency-producer': `${producer}-${suffix}`, 'idempotency-sequence': '1' };
  const replies = await Promise.all([
    call(caller, orderService.PlaceOrder, orderOf(values), { key: `${key}-${suffix}` }),
    call(caller, inventoryService.ReceiveStock, { sku, quantity: 1 }, { key: `${key}-${suffix}` }),
    call(caller, inventoryService.ReserveStock, reservation(values), { metadata: numbered }),
  ]);
  return replies.map(({ code }) => code);
}

const reservation = ({ sku }: Values) => ({
  lines: [{ sku, quantity: 1 }],
  hold: { seconds: '60', nanos: 0 },
});

async function succeed<R>(calling: Promise<Reply<R>>): Promise<Reply<R>> {
  const reply = await calling;
  if (reply.code !== status.OK) throw new Error(`${status[reply.code]}: ${reply.details}`);
  return reply;
}

/** Sends calls that the shop refuses, of every kind that a caller can send by a gRPC library. */
export async function sendRefusedCalls(caller: Caller, values: Values): Promise<void> {
  const { key, malformedKey, producer, malformedSequence, malformedFirstSent, entry, sku } = values;
  const { invalidField, malformedRequest, path, healthService } = values;
  const place = (settings: CallSettings, quantity?: number) =>
    call(caller, orderService.PlaceOrder, orderOf(values, quantity), settings);
  const metadata = (entries: Record<string, string | string[]>) => ({ metadata: entries });
  const sequence = (number: string, producerName = producer, epoch = '0') =>
    metadata({
      'idempotency-producer': producerName,
      'idempotency-sequence': number,
      'idempotency-epoch': epoch,
    });

  await place({});
  await place({ key }, 2);
  for (const bad of [`${malformedKey} x`, `${malformedKey}"`, malformedKey.repeat(20), `a,${malformedKey}`]) {
    await place({ key: bad });
    await place(sequence('1', bad));
  }
  await place(metadata({ 'idempotency-key': [key, malformedKey] }));
  await place({ key: `${key}-1`, ...metadata({ 'idempotency-first-sent': malformedFirstSent }) });
  await place({ key: `${key}-2`, ...metadata({ 'idempotency-first-sent': '2020-01-01T00:00:00Z' }) });
  const reserve = (settings: CallSettings) =>
    call(caller, inventoryService.ReserveStock, { lines: [{ sku, quantity: 2 }] }, settings);
  for (const number of ['1', '9', malformedSequence]) await reserve(sequence(number));
  await reserve(sequence('1', producer, malformedSequence));
  await reserve({ key, ...sequence('1') });
  await reserve(metadata({ 'idempotency-producer': producer }));
  await place({ key: `${key}-3`, ...metadata({ 'x-private': entry, 'grpc-encoding': entry }) });
  await place({ key: `${key}-4`, deadlineMs: 1 });

  const invalid = {
    ...orderOf(values),
    customerId: `${invalidField}\u0000`,
    labels: { [invalidField]: '\u0007' },
  };
  await call(caller, orderService.PlaceOrder, invalid, { key: `${key}-5` });
  const unknown = { ...orderOf(values), lines: [{ sku: invalidField, quantity: 1 }] };
  await call(caller, orderService.PlaceOrder, unknown, { key: `${key}-6` });
  const tooMany = { lines: [{ sku, quantity: 999_999 }] };
  await call(caller, inventoryService.ReserveStock, tooMany, { key: `${key}-7` });
  await call(caller, orderService.GetOrder, { orderId: invalidField });
  await call(caller, orderService.ListOrders, { customerId: invalidField, pageToken: invalidField });

  const send = (to: string, request: Buffer) =>
    caller.connection.callBytes({ path: to, requestSerialize: asIs, responseDeserialize: asIs }, request, {
      key: `${key}-8`,
      metadata: { ...caller.metadata },
    });
  const { path: placing } = orderService.PlaceOrder;
  await send(placing, Buffer.from(malformedRequest));
  // Field 1 as text that is not UTF-8 and is longer than the message.
  await send(placing, Buffer.concat([Buffer.from([10, 200, 255]), Buffer.from(malformedRequest)]));
  await send(placing, Buffer.alloc(5 * 1024 * 1024, malformedRequest));
  await send(`/shop.order.v1.OrderService/${path}`, Buffer.alloc(0));
  await send(`/${path}/PlaceOrder`, Buffer.alloc(0));
  const health = Buffer.concat([Buffer.from([10, healthService.length]), Buffer.from(healthService)]);
  await send('/grpc.health.v1.Health/Check', health);
}

/** Sends calls with headers that no gRPC library sends, over a connection without TLS. */
export async function sendRawCalls(
  t: Cleanup,
  address: string,
  values: Values,
  token: string,
): Promise<void> {
  const { key, badToken, malformedKey, userAgent, authority, path, entry } = values;
  const { path: placing } = orderService.PlaceOrder;
  const { path: getting } = inventoryService.GetItem;
  const authorization = (value: string) => ['authorization', value] as const;
  const tokens = [
    [authorization(`Bearer\t${badToken}`)],
    [authorization(`Bearer ${badToken}`)],
    [authorization(`Bearer ${badToken}\u00e9`)],
    [authorization(`Basic ${badToken}`)],
    [authorization(`Bearer ${token}`), authorization(`Bearer ${badToken}`)],
    [authorization(`Bearer ${badToken}`), authorization(`Bearer ${token}`)],
    [authorization(`Bearer ${token}${badToken}`)],
    [authorization(`Bearer ${badToken.repeat(900)}`)],
    [authorization(`Bearer ${Buffer.from(`{"alg":"none","x":"${badToken}"}`).toString('base64url')}.e30.`)],
  ];
  for (const headers of tokens)
    await sendRawCall(t, address, placing, [...headers, ['idempotency-key', key]]);
  const own = authorization(`Bearer ${token}`);
  const headers = [
    ['idempotency-key', `${malformedKey}\u00e9`],
    ['idempotency-key', `${malformedKey}\u0001`],
    ['idempotency-first-sent', `${malformedKey}\u00ff`],
    ['x-private', `${entry}\u0001\u00e9`],
    ['x-private-bin', `${entry}!`],
    ['user-agent', `${userAgent}\u00e9`],
    ['grpc-timeout', entry],
    ['grpc-encoding', entry],
    ['grpc-accept-encoding', entry],
    ['content-type', `application/${entry}`],
    ['te', entry],
    ['host', authority],
    ['cookie', `session=${entry}\t`],
    ['connection', entry],
  ] as const;
  for (const header of headers) {
    await sendRawCall(t, address, placing, [own, header]);
    await sendRawCall(t, address, getting, [own, header]);
  }
  await sendRawCall(t, address, `/${path}`, [own]);
}

/** Sends the keys, the producer and the item of another caller. Yields each reply. */
export async function* probe(other: Caller, values: Values, orderId: string): AsyncGenerator<Sink> {
  const { key, producer, sku } = values;
  const request = { customerId: 'other', lines: [{ sku, quantity: 1 }], labels: {} };
  const sequence = (number: string) => ({
    metadata: { 'idempotency-producer': producer, 'idempotency-sequence': number },
  });
  const replies = [
    await call(other, orderService.PlaceOrder, request, { key }),
    await call(other, orderService.CancelOrder, { orderId, reason: '' }, { key }),
    await call(other, inventoryService.ReceiveStock, { sku, quantity: 1 }, { key }),
    await call(other, inventoryService.ReserveStock, reservation(values), sequence('2')),
    await call(other, inventoryService.ReserveStock, reservation(values), sequence('1')),
    await call(other, orderService.ListOrders, { customerId: 'other' }),
  ];
  for (const reply of replies) yield replySink(reply);
}

/** Returns all that a caller gets by a reply. */
export function replySink({ code, details, bytes, initial, trailers }: Reply<unknown>): Sink {
  // These values belong to the item that the other caller names, and to the order that it cancels.
  const allowed = new Set(code === status.OK ? ['sku', 'itemName', 'price', 'customerId', 'label'] : []);
  const texts = [details, ...[initial, trailers].map((metadata) => JSON.stringify(metadata?.toJSON()))];
  const content = Buffer.concat([Buffer.from(texts.join('\n')), bytes ?? Buffer.alloc(0)]);
  return { name: `reply ${status[code]} to another caller`, content, allowed };
}

/** Reads every page of the operations port, and sends requests that it refuses. Yields each response. */
export async function* readPages(address: string, values: Values): AsyncGenerator<Sink> {
  const { page, pageHeader } = values;
  const requests: [method: string, path: string][] = [
    ...['/metrics', '/livez', '/readyz', '/policies', '/outbox', '/'].map((path): [string, string] => [
      'GET',
      path,
    ]),
    ...['requeue', 'discard', 'reopen'].map((action): [string, string] => ['POST', `/outbox/${action}`]),
  ];
  for (const [method, path] of requests) {
    for (const query of ['', `?id=${page}&destination=${page}`, `/${page}`]) {
      const response = await fetch(`http://${address}${path}${query}`, {
        method,
        headers: { 'x-private': pageHeader, authorization: `Bearer ${pageHeader}` },
      });
      yield await responseSink(`${method} ${path}`, response);
    }
  }
}

/** Posts goods receipts that the warehouse webhook refuses, and one that it takes. Yields each response. */
export async function* postReceipts(
  address: string,
  values: Values,
  sign: (id: string, body: string) => Record<string, string>,
): AsyncGenerator<Sink> {
  const { sku, messageId, webhookBody, webhookHeader } = values;
  const goods = (item: string) =>
    JSON.stringify({ type: 'goods.received', data: { sku: item, quantity: 1 } });
  const posts = [
    { id: messageId, body: goods(sku) },
    { id: messageId, body: goods(sku) },
    { id: messageId, body: goods(webhookBody) },
    { id: `${messageId} "`, body: goods(sku) },
    { id: messageId, body: `{"type": ${webhookBody}` },
    { id: messageId, body: JSON.stringify({ type: webhookBody }) },
    { id: messageId, body: webhookBody.repeat(5_000) },
    { id: messageId, body: goods(sku), headers: { 'webhook-signature': `v1,${webhookHeader}` } },
    { id: messageId, body: goods(sku), headers: { 'webhook-timestamp': webhookHeader } },
  ];
  for (const { id, body, headers = {} } of posts) {
    const response = await fetch(`http://${address}/webhooks/warehouse`, {
      method: 'POST',
      headers: { ...sign(id, body), ...headers, 'x-private': webhookHeader },
      body,
    });
    yield await responseSink('webhook', response);
  }
}

/** Returns the status line, the headers and the body of a response. */
export async function responseSink(name: string, response: Response): Promise<Sink> {
  const content = `${response.statusText}${JSON.stringify([...response.headers])}${await response.text()}`;
  return { name: `${name} ${response.status}`, content };
}
