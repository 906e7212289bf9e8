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

/** What a client of one key saw: every success that it got, whichever server gave it. */
interface Witness {
  readonly key: string;
  readonly seen: string[];
}

for (const engine of engines) {
  test(`${engine}: killed in a storm and restarted, the server does each key once`, async (t) => {
    t.timeout(180_000);
    await storm(t, engine);
  });
}

async function storm(t: ExecutionContext, engine: Engine): Promise<void> {
  const { servers, database } = await shop.startShopServers(t, engine);
  let server = servers[0] as ServerProcess;
  let clients = await shop.connections(t, [server], 8);
  await shop.stockItem(clients[0] as Connection, 'tea', STOCK);
  const orders: Witness[] = witnesses();
  const receipts: Witness[] = witnesses();
  const lost = { replies: 0 };

  for (let kill = 0; kill < KILLS; kill++) {
    const running = attempts(clients, orders, receipts, lost);
    // In the middle of it: some calls have been answered, others are on their way.
    await poll('a third is answered', () => answered([...orders, ...receipts]) >= ((kill + 1) * KEYS) / 3);
    await server.kill();
    await running;
    server = await server.restart(t);
    clients = await shop.connections(t, [server], 8);
  }
  t.true(lost.replies > 0, 'the kills hit calls that were running');

  await poll(
    'every key reaches OK',
    async () => {
      await attempts(clients, orders.filter(isOpen), receipts.filter(isOpen), lost);
      return ![...orders, ...receipts].some(isOpen);
    },
    60_000,
  );
  // Once more for each: the same bytes as ever.
  await attempts(clients, orders, receipts, lost);
  for (const { seen } of [...orders, ...receipts]) t.is(new Set(seen).size, 1);

  t.is(await shop.count(database, 'orders'), KEYS);
  t.is(await shop.count(database, 'replay_guard_outbox'), KEYS);
  await poll('the relay delivers everything', () => shop.allDelivered(database), 60_000);
  t.deepEqual(await shop.stock(database, 'tea'), { onHand: STOCK, reserved: 0 });
}

/** One attempt at each key, all at once. */
async function attempts(
  clients: readonly Connection[],
  orders: readonly Witness[],
  receipts: readonly Witness[],
  lost: { replies: number },
): Promise<void> {
  const note = (witness: Witness, { code, bytes }: Reply<unknown>) => {
    if (code === 0) witness.seen.push(String(bytes?.toString('hex')));
    else lost.replies++;
  };
  const client = (index: number) => clients[index % clients.length] as Connection;
  await Promise.all([
    ...orders.map(async (witness, index) =>
      note(witness, await shop.order(client(index), witness.key, 'tea')),
    ),
    ...receipts.map(async (witness, index) =>
      note(witness, await shop.receive(client(index), witness.key, 'tea')),
    ),
  ]);
}

const isOpen = ({ seen }: Witness) => seen.length === 0;

const answered = (all: readonly Witness[]) => all.filter((witness) => !isOpen(witness)).length;

function witnesses(): Witness[] {
  return Array.from({ length: KEYS }, () => ({ key: randomUUID(), seen: [] }));
}
