import test, { type ExecutionContext } from 'ava';
import { freshData } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import { checkReplies } from './chaos/check-replies.js';
import { checkShop } from './chaos/check-shop.js';
import { EventCounts } from './chaos/event-counts.js';
import { startFaultyNetwork } from './chaos/faulty-network.js';
import { countRepeats, startFaultyReceiver } from './chaos/faulty-receiver.js';
import { OrderClients } from './chaos/order-clients.js';
import { ServerKiller } from './chaos/server-killer.js';
import { KILLS, MAX_WAIT_MS, ORDERS, seededChance } from './chaos/settings.js';
import { ShopCluster } from './chaos/shop-cluster.js';
import { fillStock, webhookSettings } from './chaos/stock.js';
import { allDelivered } from './shop-servers.js';

test('postgres: a faulty network and killed servers: each order is placed exactly once', async (t) => {
  t.timeout(3 * MAX_WAIT_MS);
  const random = seededChance(t);
  const counts = new EventCounts();
  const receiver = await startFaultyReceiver(t, random);
  const data = await freshData(t, 'postgres');
  const cluster = new ShopCluster(t, random, counts);
  await cluster.start({ DATABASE_URL: data.url, ...webhookSettings(receiver) });
  await fillStock(t, await cluster.anyServer('inventory').grpcAddress());
  const { database } = await data.open({ maxConnections: 2 });
  const network = await startFaultyNetwork(t, cluster.anyOrderAddress, random, counts);
  const clients = new OrderClients(t, random, counts);
  const killer = new ServerKiller({ cluster, database, receiver, random, counts });

  const startedAt = performance.now();
  // Each gate holds the next part of the orders until the killer starts them.
  const gates = Array.from({ length: KILLS }, () => new Barrier());
  const part = Math.ceil(ORDERS / (KILLS + 1));
  const killing = async () => {
    for (const gate of gates) {
      await gate.reached();
      await killer.killNext(() => gate.open());
    }
  };
  const placing = clients.placeAll(network.address, AbortSignal.timeout(MAX_WAIT_MS), (index) =>
    gates[Math.floor(index / part) - 1]?.pass(),
  );
  await Promise.all([placing, killing()]);
  await killer.expireLeases();
  await poll('every event is delivered', () => allDelivered(database), MAX_WAIT_MS);
  counts.add('seconds', Math.round((performance.now() - startedAt) / 1000));
  await clients.confirmAll(cluster.anyOrderAddress());
  await cluster.addMetrics();
  counts.add('webhooks repeated', countRepeats(receiver));
  t.log(counts.all(), 'between the servers:', cluster.between.all());

  checkReplies(t, clients, network);
  await checkShop(t, database, receiver, clients.wantedOrders);
  const outbox = await (await fetch(`http://${await cluster.anyServer('relay').opsAddress()}/outbox`)).json();
  const idle = { pending: 0, oldestMs: 0, dead: 0, closed: [] };
  const destinations = ['inventory', 'webhook'].map((destination) => ({ destination, ...idle }));
  t.deepEqual(outbox, { destinations, deadLetters: [] });
  checkEvents(t, counts);
});

function checkEvents(t: ExecutionContext, counts: EventCounts): void {
  t.true(counts.of('replies lost') >= ORDERS / 3, 'at least one reply in three was lost');
  t.true(counts.of('replayed') > ORDERS, 'retries during the run were replayed, too');
  const networkEvents = ['requests duplicated', 'connections closed', 'webhooks repeated', 'joined'];
  const recoveries = ['takeovers', 'deliveries interrupted by kills'];
  const kills = ['kills of order', 'kills of inventory', 'kills of relay'];
  for (const event of [...networkEvents, ...recoveries, ...kills]) t.true(counts.of(event) > 0, event);
}
