import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import type { Connection, Reply } from '../helpers/calls/call.js';
import { type Engine, engines } from '../helpers/databases/engines.js';
import type { ServerProcess } from '../helpers/processes/shop-process.js';
import { poll } from '../helpers/waiting/poll.js';
import * as shop from './shop-servers.js';

const KEYS = 60;
const KILLS = 3;
const STOCK = 1_000;

/** One key and the bytes of every OK reply to it, from all server processes. */
interface KeyHistory {
  readonly key: string;
  readonly replies: string[];
}

for (const engine of engines) {
  test(`${engine}: a server is killed three times under load and restarted: each key executes once`, async (t) => {
    t.timeout(180_000);
    await killUnderLoad(t, engine);
  });
}

async function killUnderLoad(t: ExecutionContext, engine: Engine): Promise<void> {
  const { servers, database } = await shop.startShopServers(t, engine);
  let server = servers[0] as ServerProcess;
  let clients = await shop.connections(t, [server], 8);
  await shop.stockItem(clients[0] as Connection, 'tea', STOCK);
  const orders: KeyHistory[] = newHistories();
  const receipts: KeyHistory[] = newHistories();
  const lost = { count: 0 };

  for (let kill = 0; kill < KILLS; kill++) {
    const running = attempts(clients, orders, receipts, lost);
    // The kill comes while some calls have a reply and others are running.
    await poll(
      'a third of the keys has a reply',
      () => countAnswered([...orders, ...receipts]) >= ((kill + 1) * KEYS) / 3,
    );
    await server.kill();
    await running;
    server = await server.restart(t);
    clients = await shop.connections(t, [server], 8);
  }
  t.true(lost.count > 0, 'the kills hit running calls');

  await poll(
    'every key has an OK reply',
    async () => {
      await attempts(clients, orders.filter(isOpen), receipts.filter(isOpen), lost);
      return ![...orders, ...receipts].some(isOpen);
    },
    60_000,
  );
  // One more attempt for each key must return the same bytes.
  await attempts(clients, orders, receipts, lost);
  for (const { replies } of [...orders, ...receipts]) t.is(new Set(replies).size, 1);

  t.is(await shop.count(database, 'orders'), KEYS);
  t.is(await shop.count(database, 'replay_guard_outbox'), KEYS);
  await poll('the relay delivers every event', () => shop.allDelivered(database), 60_000);
  t.deepEqual(await shop.stock(database, 'tea'), { onHand: STOCK, reserved: 0 });
}

/** Makes one attempt for each key, all concurrently. */
async function attempts(
  clients: readonly Connection[],
  orders: readonly KeyHistory[],
  receipts: readonly KeyHistory[],
  lost: { count: number },
): Promise<void> {
  const record = (history: KeyHistory, { code, bytes }: Reply<unknown>) => {
    if (code === 0) history.replies.push(String(bytes?.toString('hex')));
    else lost.count++;
  };
  const client = (index: number) => clients[index % clients.length] as Connection;
  await Promise.all([
    ...orders.map(async (history, index) =>
      record(history, await shop.order(client(index), history.key, 'tea')),
    ),
    ...receipts.map(async (history, index) =>
      record(history, await shop.receive(client(index), history.key, 'tea')),
    ),
  ]);
}

const isOpen = ({ replies }: KeyHistory) => replies.length === 0;

const countAnswered = (all: readonly KeyHistory[]) => all.filter((history) => !isOpen(history)).length;

function newHistories(): KeyHistory[] {
  return Array.from({ length: KEYS }, () => ({ key: randomUUID(), replies: [] }));
}
