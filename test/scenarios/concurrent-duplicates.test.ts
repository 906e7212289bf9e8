import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { type Engine, engines } from '../helpers/databases/engines.js';
import { poll } from '../helpers/waiting/poll.js';
import * as shop from './shop-servers.js';

const setups: readonly (readonly [Engine, number])[] = [
  ['sqlite', 1],
  ['postgres', 1],
  ['postgres', 2],
];

for (const [engine, servers] of setups) {
  const where = `${engine}, ${servers} ${servers === 1 ? 'server' : 'servers'}`;

  test(`${where}: 200 concurrent orders with one key place one order and get equal bytes`, async (t) => {
    await oneOrder(t, engine, servers);
  });
}

async function oneOrder(t: ExecutionContext, engine: Engine, serverCount: number): Promise<void> {
  const { servers, database } = await shop.startShopServers(t, engine, serverCount);
  const clients = await shop.connections(t, servers, 8);
  await shop.stockItem(at(clients, 0), 'tea', 1_000);
  const key = randomUUID();
  const replies = await Promise.all(
    times(200, (index) => shop.retryWhileUnavailable(() => shop.order(at(clients, index), key, 'tea', 3))),
  );
  const bytes = replies.map((reply) => reply.bytes?.toString('hex'));
  t.is(new Set(bytes).size, 1);
  t.is(
    replies.filter(({ replayed }) => !replayed).length,
    1,
    'all replies but the first are marked as replays',
  );
  t.is(await shop.count(database, 'orders'), 1);
  t.is(await shop.count(database, 'inventory_reservations'), 1);
  t.is(await shop.count(database, 'replay_guard_outbox'), 1);
  await poll('the relay confirms the reservation', () => shop.allDelivered(database));
  t.deepEqual(await shop.stock(database, 'tea'), { onHand: 997, reserved: 0 });
}

for (const engine of engines) {
  test(`${engine}: 200 concurrent receipts with 50 keys add exactly 50 pieces`, async (t) => {
    const { servers, database } = await shop.startShopServers(t, engine);
    const clients = await shop.connections(t, servers, 8);
    await shop.stockItem(at(clients, 0), 'tea', 1_000);
    const keys = times(50, () => randomUUID());
    const replies = await Promise.all(
      times(200, (index) =>
        shop.retryWhileUnavailable(() => shop.receive(at(clients, index), at(keys, index), 'tea')),
      ),
    );
    t.deepEqual(await shop.stock(database, 'tea'), { onHand: 1_050, reserved: 0 });
    for (const [index] of keys.entries()) {
      const same = replies
        .filter((_, call) => call % keys.length === index)
        .map(({ bytes }) => bytes?.toString('hex'));
      t.is(new Set(same).size, 1);
    }
  });
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** Returns the element at the index modulo the length. */
function at<T>(values: readonly T[], index: number): T {
  return values[index % values.length] as T;
}
