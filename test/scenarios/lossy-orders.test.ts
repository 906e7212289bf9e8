import test, { type ExecutionContext } from 'ava';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { poll } from '../helpers/waiting/poll.js';
import { checkReplies } from './chaos/check-replies.js';
import { checkShop } from './chaos/check-shop.js';
import { EventCounts } from './chaos/event-counts.js';
import { startFaultyNetwork } from './chaos/faulty-network.js';
import { countRepeats, startFaultyReceiver } from './chaos/faulty-receiver.js';
import { OrderClients } from './chaos/order-clients.js';
import { addMetrics } from './chaos/server-metrics.js';
import { MAX_WAIT_MS, ORDERS, seededChance } from './chaos/settings.js';
import { fillStock, webhookSettings } from './chaos/stock.js';
import { allDelivered } from './shop-servers.js';

for (const engine of engines) {
  test.serial(
    `${engine}: a network that loses, repeats and cuts calls: each order is placed exactly once`,
    async (t) => {
      t.timeout(3 * MAX_WAIT_MS);
      await lossyOrders(t, engine);
    },
  );
}

async function lossyOrders(t: ExecutionContext, engine: Engine): Promise<void> {
  const random = seededChance(t);
  const counts = new EventCounts();
  const receiver = await startFaultyReceiver(t, random);
  const data = await freshData(t, engine);
  const server = new ServerProcess(t, { DATABASE_URL: data.url, ...webhookSettings(receiver) });
  const address = await server.grpcAddress();
  await fillStock(t, address);
  const network = await startFaultyNetwork(t, address, random, counts);
  const clients = new OrderClients(t, random, counts);

  const startedAt = performance.now();
  await clients.placeAll(network.address, AbortSignal.timeout(MAX_WAIT_MS));
  const { database } = await data.open({ maxConnections: 2 });
  await poll('every event is delivered', () => allDelivered(database), MAX_WAIT_MS);
  counts.add('seconds', Math.round((performance.now() - startedAt) / 1000));
  await clients.confirmAll(address);
  await addMetrics(server, counts);
  counts.add('webhooks repeated', countRepeats(receiver));
  t.log(counts.all());

  checkReplies(t, clients, network);
  await checkShop(t, database, receiver, clients.wantedOrders);
  const outbox = await (await fetch(`http://${await server.opsAddress()}/outbox`)).json();
  const idle = { pending: 0, oldestMs: 0, dead: 0, closed: [] };
  const destinations = ['inventory', 'webhook'].map((destination) => ({ destination, ...idle }));
  t.deepEqual(outbox, { destinations, deadLetters: [] });

  t.true(counts.of('replies lost') >= ORDERS / 3, 'at least one reply in three was lost');
  for (const event of ['requests duplicated', 'connections closed', 'joined', 'webhooks repeated']) {
    t.true(counts.of(event) > 0, event);
  }
  t.true(counts.of('replayed') > ORDERS, 'retries during the run were replayed, too');
  t.is(counts.of('executed'), ORDERS);
}
