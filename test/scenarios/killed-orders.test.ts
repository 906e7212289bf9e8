import test, { type ExecutionContext } from 'ava';
import { freshData } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import { checkHistory } from './chaos/check-replies.js';
import { checkOutcome } from './chaos/check-shop.js';
import { Tally } from './chaos/event-counts.js';
import { startBadLine } from './chaos/faulty-network.js';
import { repeats, startBadReceiver } from './chaos/faulty-receiver.js';
import { Buyers } from './chaos/order-clients.js';
import { Killer } from './chaos/server-killer.js';
import { BOUND_MS, chance, KILLS, ORDERS } from './chaos/settings.js';
import { Fleet } from './chaos/shop-cluster.js';
import { stockUp, telling } from './chaos/stock.js';
import { allDelivered } from './shop-servers.js';

test('postgres: by a bad line, and with servers and relay killed, each order is placed once', async (t) => {
  t.timeout(3 * BOUND_MS);
  const random = chance(t);
  const tally = new Tally();
  const receiver = await startBadReceiver(t, random);
  const data = await freshData(t, 'postgres');
  const fleet = new Fleet(t, random, tally);
  await fleet.start({ DATABASE_URL: data.url, ...telling(receiver) });
  await stockUp(t, await fleet.one('inventory').grpcAddress());
  const { database } = await data.open({ maxConnections: 2 });
  const line = await startBadLine(t, fleet.anyOrderAddress, random, tally);
  const buyers = new Buyers(t, random, tally);
  const killer = new Killer({ fleet, database, receiver, random, tally });

  const began = performance.now();
  // One part of the orders before each kill, and one after the last.
  const gates = Array.from({ length: KILLS }, () => new Barrier());
  const part = Math.ceil(ORDERS / (KILLS + 1));
  const killing = async () => {
    for (const gate of gates) {
      await gate.reached();
      await killer.strike(() => gate.open());
    }
  };
  const placing = buyers.placeAll(line.address, AbortSignal.timeout(BOUND_MS), (index) =>
    gates[Math.floor(index / part) - 1]?.pass(),
  );
  await Promise.all([placing, killing()]);
  await killer.passTime();
  await poll('everything is delivered', () => allDelivered(database), BOUND_MS);
  tally.add('seconds', Math.round((performance.now() - began) / 1000));
  await buyers.askAgain(fleet.anyOrderAddress());
  await fleet.addMetrics();
  tally.add('webhooks repeated', repeats(receiver));
  t.log(tally.all(), 'between the servers:', fleet.between.all());

  checkHistory(t, buyers, line);
  await checkOutcome(t, database, receiver, buyers.wishes);
  const outbox = await (await fetch(`http://${await fleet.one('relay').opsAddress()}/outbox`)).json();
  t.deepEqual(outbox, { destinations: [], deadLetters: [] });
  checkEvents(t, tally);
});

function checkEvents(t: ExecutionContext, tally: Tally): void {
  t.true(tally.of('replies lost') >= ORDERS / 3, 'one reply in three was lost');
  t.true(tally.of('replayed') > ORDERS, 'more replays than those that were asked for at the end');
  const happened = ['requests duplicated', 'connections closed', 'webhooks repeated', 'joined'];
  const ofKills = ['takeovers', 'deliveries left by the dead'];
  const kills = ['kills of order', 'kills of inventory', 'kills of relay'];
  for (const event of [...happened, ...ofKills, ...kills]) t.true(tally.of(event) > 0, event);
}
