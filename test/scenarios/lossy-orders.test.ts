import test, { type ExecutionContext } from 'ava';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { poll } from '../helpers/waiting/poll.js';
import { checkHistory } from './chaos/check-replies.js';
import { checkOutcome } from './chaos/check-shop.js';
import { Tally } from './chaos/event-counts.js';
import { startBadLine } from './chaos/faulty-network.js';
import { repeats, startBadReceiver } from './chaos/faulty-receiver.js';
import { Buyers } from './chaos/order-clients.js';
import { addMetrics } from './chaos/server-metrics.js';
import { BOUND_MS, chance, ORDERS } from './chaos/settings.js';
import { stockUp, telling } from './chaos/stock.js';
import { allDelivered } from './shop-servers.js';

for (const engine of engines) {
  test.serial(`${engine}: by a line that loses, repeats and cuts, each order is placed once`, async (t) => {
    t.timeout(3 * BOUND_MS);
    await lossyOrders(t, engine);
  });
}

async function lossyOrders(t: ExecutionContext, engine: Engine): Promise<void> {
  const random = chance(t);
  const tally = new Tally();
  const receiver = await startBadReceiver(t, random);
  const data = await freshData(t, engine);
  const server = new ServerProcess(t, { DATABASE_URL: data.url, ...telling(receiver) });
  const address = await server.grpcAddress();
  await stockUp(t, address);
  const line = await startBadLine(t, address, random, tally);
  const buyers = new Buyers(t, random, tally);

  const began = performance.now();
  await buyers.placeAll(line.address, AbortSignal.timeout(BOUND_MS));
  const { database } = await data.open({ maxConnections: 2 });
  await poll('everything is delivered', () => allDelivered(database), BOUND_MS);
  tally.add('seconds', Math.round((performance.now() - began) / 1000));
  await buyers.askAgain(address);
  await addMetrics(server, tally);
  tally.add('webhooks repeated', repeats(receiver));
  t.log(tally.all());

  checkHistory(t, buyers, line);
  await checkOutcome(t, database, receiver, buyers.wishes);
  const outbox = await (await fetch(`http://${await server.opsAddress()}/outbox`)).json();
  t.deepEqual(outbox, { destinations: [], deadLetters: [] });

  t.true(tally.of('replies lost') >= ORDERS / 3, 'one reply in three was lost');
  for (const event of ['requests duplicated', 'connections closed', 'joined', 'webhooks repeated']) {
    t.true(tally.of(event) > 0, event);
  }
  t.true(tally.of('replayed') > ORDERS, 'more replays than those that were asked for at the end');
  t.is(tally.of('executed'), ORDERS);
}
