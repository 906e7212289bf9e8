import test, { type ExecutionContext } from 'ava';
import { orderService } from '#src/rpc/definitions.js';
import type { Connection } from '../helpers/calls/call.js';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { connectTo } from '../helpers/servers/server.js';
import {
  type Received,
  type Receiver,
  startReceiver,
  WEBHOOK_SECRET,
} from '../helpers/servers/webhook-receiver.js';
import { poll } from '../helpers/waiting/poll.js';
import * as shop from './shop-servers.js';

const ORDERS = 8;
const ATTEMPTS = 3;
const STOCK = 100;

/** The response of `GET /outbox`. */
interface Page {
  readonly destinations: readonly { destination: string; pending: number; dead: number }[];
  readonly deadLetters: readonly { eventId: string; aggregate: string; type: string; attempts: number }[];
}

for (const engine of engines) {
  test(`${engine}: a webhook outage loses no event, and the events of each order stay in order`, async (t) => {
    t.timeout(120_000);
    await outage(t, engine);
  });
}

async function outage(t: ExecutionContext, engine: Engine): Promise<void> {
  const receiver = await startReceiver(t);
  const data = await freshData(t, engine);
  const webhook = { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET, OUTBOX_MAX_ATTEMPTS: String(ATTEMPTS) };
  const server = new ServerProcess(t, { DATABASE_URL: data.url, ...webhook });
  const client = connectTo(t, await server.grpcAddress());
  await shop.stockItem(client, 'tea', STOCK);
  const { database } = await data.open({ maxConnections: 2 });
  const ops = `http://${await server.opsAddress()}/outbox`;
  const page = async () => (await (await fetch(ops)).json()) as Page;
  const post = async (action: string) => (await fetch(`${ops}/${action}`, { method: 'POST' })).json();

  // The receiver first refuses every event, then it is down.
  receiver.answers = Array.from({ length: ORDERS * ATTEMPTS }, () => 503);
  const orderIds = await placeOrders(client, 'early');
  await poll(
    'the receiver got each order',
    () => new Set(receiver.received.map(({ id }) => id)).size === ORDERS,
  );
  await receiver.down();
  for (const orderId of orderIds) {
    const cancelling = () => client.call(orderService.CancelOrder, { orderId, reason: '' }, { key: orderId });
    await shop.retryWhileUnavailable(cancelling);
  }
  await poll('the first event of each order is a dead letter', async () => {
    return (await page()).deadLetters.length === ORDERS;
  });
  await poll('the inventory has all its events: the webhook does not delay it', async () => {
    const { destinations } = await page();
    return destinations.every(({ destination, pending }) => destination === 'webhook' || pending === 0);
  });
  t.deepEqual(await shop.stock(database, 'tea'), { onHand: STOCK, reserved: 0 });
  const { destinations, deadLetters } = await page();
  const webhookReport = destinations.find(({ destination }) => destination === 'webhook');
  t.like(webhookReport, { pending: ORDERS, dead: ORDERS });
  t.deepEqual(deadLetters.map(({ aggregate }) => aggregate).sort(), [...orderIds].sort());
  for (const letter of deadLetters) t.like(letter, { type: 'order.placed', attempts: ATTEMPTS });

  await receiver.up();
  receiver.answers = [];
  receiver.received.length = 0;
  const laterIds = await placeOrders(client, 'late');
  await poll('events of other orders overtake the waiting ones', () => receiver.received.length === ORDERS);
  t.deepEqual(orderIdsIn(receiver, 'order.placed'), [...laterIds].sort());
  t.deepEqual(await post(`requeue?id=${deadLetters[0]?.eventId}`), { requeued: 1 });
  await poll('both events of that order arrive', () => receiver.received.length === ORDERS + 2);
  t.deepEqual(await post('requeue?destination=webhook'), { requeued: ORDERS - 1 });
  await poll('no event is pending', async () =>
    (await page()).destinations.every(({ pending }) => pending === 0),
  );

  t.deepEqual(orderIdsIn(receiver, 'order.placed'), [...orderIds, ...laterIds].sort(), 'no event is lost');
  t.deepEqual(orderIdsIn(receiver, 'order.cancelled'), [...orderIds].sort());
  for (const orderId of orderIds) {
    const types = receiver.received.map(contentOf).filter((event) => event.orderId === orderId);
    t.deepEqual(
      types.map(({ type }) => type),
      ['order.placed', 'order.cancelled'],
    );
  }
  t.deepEqual((await page()).deadLetters, []);
  t.is(receiver.forged, 0);
}

/** Places all orders concurrently, and returns their ids. */
async function placeOrders(client: Connection, name: string): Promise<string[]> {
  const placing = Array.from({ length: ORDERS }, (_, index) =>
    shop.retryWhileUnavailable(() => shop.order(client, `${name}-${index}`, 'tea')),
  );
  return (await Promise.all(placing)).map(({ message }) => String(message?.order?.orderId));
}

/** Returns the sorted order ids in the received events of a type. */
function orderIdsIn({ received }: Receiver, type: string): string[] {
  const events = received.map(contentOf).filter((event) => event.type === type);
  return events.map(({ orderId }) => orderId).sort();
}

function contentOf({ body }: Received): { type: string; orderId: string } {
  const { type, data } = JSON.parse(body) as { type: string; data: { orderId: string } };
  return { type, orderId: data.orderId };
}
