import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { readConfig } from '#src/config/config.js';
import { inventoryService } from '#src/rpc/definitions.js';
import { type Shop, startShop } from '#src/shop.js';
import { Connection } from '../helpers/calls/call.js';
import { engines, freshData, freshFolder } from '../helpers/databases/engines.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { goods, post, SECRET } from '../helpers/messages/signed-webhook.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { poll } from '../helpers/waiting/poll.js';

type Test = ExecutionContext;
type Env = Record<string, string>;

/** @param lines receives the log lines of the shop */
async function start(t: Test, env: Env, lines: string[] = []): Promise<Shop> {
  const ports = { GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0' };
  const log = pino({}, { write: (line: string) => lines.push(line) });
  const config = readConfig({ ...ports, WAREHOUSE_WEBHOOK_SECRET: SECRET, ...env });
  const shop = await startShop(config, log, new AbortController().signal);
  t.teardown(() => shop.stop());
  return shop;
}

async function sqlite(t: Test): Promise<Env> {
  return { DATABASE_URL: `sqlite:${join(await freshFolder(t), 'shop.db')}` };
}

/** Reads and writes the stock of `tea` as a client. */
function stock(t: Test, shop: Shop) {
  const client = new Connection(`localhost:${shop.grpc.port}`, credentials.createInsecure());
  t.teardown(() => client.close());
  const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
  return {
    put: async () => t.is((await client.call(inventoryService.PutItem, item)).code, status.OK),
    onHand: async () =>
      Number((await client.call(inventoryService.GetItem, { sku: 'tea' })).message?.item?.onHand),
  };
}

const receipt = (id: string, agoMs = 0) => ({ id, agoMs, body: goods('tea', 3) });

/** Posts a receipt until the status is not a 5xx, as senders do. Returns the last status. */
async function postUntilDefinite(shop: Shop, id: string): Promise<number> {
  let last = 0;
  await poll('a definite status', async () => {
    last = (await post(shop.ops.port, receipt(id))).status;
    return last < 500;
  });
  return last;
}

for (const engine of engines) {
  test(`${engine}: repeated deliveries of a receipt to two servers add to the stock once`, async (t) => {
    const { url } = await freshData(t, engine);
    const lines: string[] = [];
    const shop = await start(t, { DATABASE_URL: url }, lines);
    const shops = [shop, await start(t, { DATABASE_URL: url })];
    const { put, onHand } = stock(t, shop);
    await put();
    const deliveries = [0, 1, 0, 1, 0].map((server) => postUntilDefinite(shops[server] as Shop, 'msg_1'));
    t.deepEqual(await Promise.all(deliveries), [200, 200, 200, 200, 200]);
    t.is(await onHand(), 3);
    t.is((await post(shop.ops.port, receipt('msg_1', 60_000))).status, 200);
    t.is(await postUntilDefinite(shop, 'msg_2'), 200);
    t.is(await onHand(), 6);

    const metrics = await (await fetch(`http://127.0.0.1:${shop.ops.port}/metrics`)).text();
    const counted = /^replay_guard_messages_total\{consumer="warehouse-webhook",outcome="(\w+)"\} (\d+)$/gm;
    const outcomes = Object.fromEntries(
      [...metrics.matchAll(counted)].map(([, name, count]) => [name, count]),
    );
    t.true(Number(outcomes.processed) >= 1 && Number(outcomes.duplicate) >= 1, JSON.stringify(outcomes));
    await shop.stop();
    t.notRegex(lines.join(''), /whsec_|msg_1|"tea"|goods\.received/);
  });
}

test('a receipt for an unknown item is refused, and accepted after the item exists', async (t) => {
  const shop = await start(t, await sqlite(t));
  const { put, onHand } = stock(t, shop);
  t.is((await post(shop.ops.port, receipt('msg_1'))).status, 422);
  await put();
  t.is((await post(shop.ops.port, receipt('msg_1'))).status, 200);
  t.is(await onHand(), 3);
});

test('a receipt for a remote inventory that was down is delivered once after the inventory restarts', async (t) => {
  const env = await sqlite(t);
  const inventory = await start(t, { ...env, SERVICES: 'inventory' });
  await stock(t, inventory).put();
  const address = `127.0.0.1:${inventory.grpc.port}`;
  const orders = { ...(await sqlite(t)), SERVICES: 'order', INVENTORY_ADDRESS: address };
  const shop = await start(t, orders);
  await inventory.stop();
  t.is((await post(shop.ops.port, receipt('msg_1'))).status, 503);
  const again = await start(t, { ...env, SERVICES: 'inventory', GRPC_ADDRESS: address });
  const answers = await Promise.all([1, 2, 3, 4, 5].map(() => postUntilDefinite(shop, 'msg_1')));
  t.deepEqual(answers, [200, 200, 200, 200, 200]);
  t.is(await stock(t, again).onHand(), 3);
});

test('a remote inventory keeps its refusal under the id of the message', async (t) => {
  const inventory = await start(t, { ...(await sqlite(t)), SERVICES: 'inventory' });
  const address = `127.0.0.1:${inventory.grpc.port}`;
  const shop = await start(t, { ...(await sqlite(t)), SERVICES: 'order', INVENTORY_ADDRESS: address });
  const { put, onHand } = stock(t, inventory);
  t.is((await post(shop.ops.port, receipt('msg_1'))).status, 422);
  await put();
  t.is((await post(shop.ops.port, receipt('msg_1'))).status, 422);
  t.is((await post(shop.ops.port, receipt('msg_2'))).status, 200);
  t.is(await onHand(), 3);
});

for (const when of ['before', 'after'] as const) {
  test(`a receipt whose connection is lost ${when} the COMMIT is answered 503 and then added once`, async (t) => {
    const proxy = await startProxy(t, await freshDatabase(t));
    const shop = await start(t, { DATABASE_URL: proxy.url });
    const { put, onHand } = stock(t, shop);
    await put();
    // The check of readiness commits, too.
    proxy.cutAt(/^COMMIT/, when, undefined, 0, /INSERT INTO replay_guard_messages/);
    t.is((await post(shop.ops.port, receipt('msg_1'))).status, 503);
    t.is(await postUntilDefinite(shop, 'msg_1'), 200);
    t.is(await onHand(), 3);
  });
}

test('a shop that waits for its database answers receipts with 503', async (t) => {
  const proxy = await startProxy(t, await freshDatabase(t));
  proxy.down();
  const port = await freePort();
  const starting = start(t, { DATABASE_URL: proxy.url, OPS_ADDRESS: `127.0.0.1:${port}` });
  await poll('the webhook answers', async () => {
    const answer = await post(port, receipt('msg_1')).catch(() => undefined);
    return answer?.status === 503;
  });
  proxy.up();
  const shop = await starting;
  await stock(t, shop).put();
  t.is(await postUntilDefinite(shop, 'msg_1'), 200);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('without a secret the webhook is not found', async (t) => {
  const config = readConfig({
    ...(await sqlite(t)),
    GRPC_ADDRESS: '127.0.0.1:0',
    OPS_ADDRESS: '127.0.0.1:0',
  });
  const shop = await startShop(config, pino({ level: 'silent' }), new AbortController().signal);
  t.teardown(() => shop.stop());
  t.is((await post(shop.ops.port, receipt('msg_1'))).status, 404);
});
