import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type ChannelCredentials, credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { service as healthService } from 'grpc-health-check';
import pg from 'pg';
import { pino } from 'pino';
import { readConfig } from '#src/config/config.js';
import { createLog, type Log } from '#src/platform/log.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { type Shop, startShop } from '#src/shop.js';
import { Connection } from './helpers/calls/call.js';
import { freshFolder } from './helpers/databases/engines.js';
import { freshDatabase } from './helpers/databases/postgres.js';
import { createAuthority, type Pair } from './helpers/identities/certificates.js';
import { startProxy } from './helpers/proxies/postgres-proxy.js';
import { startReceiver, WEBHOOK_SECRET } from './helpers/servers/webhook-receiver.js';
import { poll } from './helpers/waiting/poll.js';

type Test = ExecutionContext;
type Env = Record<string, string>;

const ANY_PORT = { GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', LOG_LEVEL: 'silent' };

const never = new AbortController().signal;

async function start(t: Test, env: Env, signal = never, log?: Log): Promise<Shop> {
  const config = readConfig({ ...ANY_PORT, ...env });
  const shop = await startShop(config, log ?? createLog(config.logLevel), signal);
  t.teardown(() => shop.stop());
  return shop;
}

async function sqlite(t: Test): Promise<Env> {
  return { DATABASE_URL: `sqlite:${join(await freshFolder(t), 'new folder', 'shop.db')}` };
}

function connect(t: Test, shop: Shop, creds: ChannelCredentials = credentials.createInsecure()): Connection {
  const connection = new Connection(`localhost:${shop.grpc.port}`, creds);
  t.teardown(() => connection.close());
  return connection;
}

const ready = async ({ ops }: Shop) => (await fetch(`http://127.0.0.1:${ops.port}/readyz`)).status === 200;

/** Puts the item `tea` with ten pieces in stock. */
async function stockUp(t: Test, client: Connection, metadata: Env = {}): Promise<void> {
  const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
  const put = await client.call(inventoryService.PutItem, item, { metadata });
  t.is(put.code, status.OK, put.details);
  const more = { sku: 'tea', quantity: 10 };
  const got = await client.call(inventoryService.ReceiveStock, more, { key: 'delivery', metadata });
  t.is(got.code, status.OK, got.details);
}

const order = { customerId: 'ada', lines: [{ sku: 'tea', quantity: 2 }] };

/** Waits until the relay has confirmed reservations of `pieces` pieces in total. */
async function confirmed(client: Connection, pieces: number, metadata: Env = {}): Promise<void> {
  await poll('the relay confirms', async () => {
    const { message } = await client.call(inventoryService.GetItem, { sku: 'tea' }, { metadata });
    return message?.item?.onHand === String(10 - pieces) && message.item.reserved === '0';
  });
}

test('on SQLite an order is placed once, confirmed by the relay, and replayed after a restart', async (t) => {
  const env = await sqlite(t);
  const shop = await start(t, env);
  const client = connect(t, shop);
  t.true(await ready(shop));
  await stockUp(t, client);
  const placed = await client.call(orderService.PlaceOrder, order, { key: 'o-1' });
  t.is(placed.code, status.OK, placed.details);
  await confirmed(client, 2);
  await shop.stop();

  const again = connect(t, await start(t, env));
  const replayed = await again.call(orderService.PlaceOrder, order, { key: 'o-1' });
  t.true(replayed.replayed);
  t.deepEqual(replayed.bytes, placed.bytes);
});

test('events go to the webhook too, and operators can see and requeue dead letters', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answers.push(400);
  const env = { ...(await sqlite(t)), WEBHOOK_URL: receiver.url, WEBHOOK_SECRET };
  const shop = await start(t, env);
  const client = connect(t, shop);
  await stockUp(t, client);
  const placed = await client.call(orderService.PlaceOrder, order, { key: 'o-1' });
  const orderId = String(placed.message?.order?.orderId);
  await confirmed(client, 2);
  const cancel = { orderId, reason: 'no' };
  t.is((await client.call(orderService.CancelOrder, cancel, { key: 'c-1' })).code, status.OK);
  await confirmed(client, 0);

  const ops = `http://127.0.0.1:${shop.ops.port}`;
  const page = async () => (await fetch(`${ops}/outbox`)).text();
  await poll('the webhook is refused', async () => (await page()).includes('"deadLetters": [\n    {'));
  const { destinations, deadLetters } = JSON.parse(await page());
  t.like(destinations[0], { destination: 'inventory', pending: 0, dead: 0 });
  t.like(destinations[1], { destination: 'webhook', pending: 1, dead: 1 });
  t.like(deadLetters[0], { type: 'order.placed', aggregate: orderId, destination: 'webhook', attempts: 1 });
  t.is(receiver.received.length, 1);
  t.false((await page()).includes(String(placed.message?.order?.reservationId)), 'no payload');
  const metrics = await (await fetch(`${ops}/metrics`)).text();
  t.regex(metrics, /replay_guard_outbox_dead_letters_total\{destination="webhook",type="order.placed"\} 1/);

  const post = async (path: string) => (await fetch(`${ops}/outbox/${path}`, { method: 'POST' })).json();
  t.deepEqual(await post(`requeue?id=${deadLetters[0].eventId}`), { requeued: 1 });
  await poll('both events are delivered', () => receiver.received.length === 3);
  const [first, again, last] = receiver.received;
  t.is(again?.body, first?.body);
  t.is(again?.id, deadLetters[0].eventId);
  t.like(JSON.parse(last?.body ?? ''), { type: 'order.cancelled', data: { orderId } });
  await poll('no event is pending', async () => {
    const { destinations }: { destinations: { pending: number; dead: number }[] } = JSON.parse(await page());
    return destinations.every(({ pending, dead }) => pending + dead === 0);
  });
  t.deepEqual(await post('discard?id=none'), { discarded: 0 });
  t.deepEqual(await post('requeue?destination=webhook'), { requeued: 0 });
  t.deepEqual(await post('reopen?destination=webhook'), { reopened: false });
});

test('two servers on Postgres deliver each event once, and a stop loses no event', async (t) => {
  const receiver = await startReceiver(t);
  const env = { DATABASE_URL: await freshDatabase(t), WEBHOOK_URL: receiver.url, WEBHOOK_SECRET };
  const [one, two] = [await start(t, env), await start(t, env)];
  const clients = [connect(t, one), connect(t, two)] as const;
  await stockUp(t, clients[0]);
  const orders = clients.map((client, index) =>
    client.call(orderService.PlaceOrder, order, { key: `o-${index}` }),
  );
  for (const { code, details } of await Promise.all(orders)) t.is(code, status.OK, details);
  await confirmed(clients[0], 4);
  await poll('the receiver has both events', () => receiver.received.length === 2);
  t.is(new Set(receiver.received.map(({ id }) => id)).size, 2);
  await Promise.all([one.stop(), two.stop()]);
  t.is(receiver.received.length, 2);
});

test('a server without a relay delivers no event, and another server delivers its events', async (t) => {
  const receiver = await startReceiver(t);
  const env = { DATABASE_URL: await freshDatabase(t), WEBHOOK_URL: receiver.url, WEBHOOK_SECRET };
  const shop = await start(t, { ...env, OUTBOX_RELAY: 'off' });
  const client = connect(t, shop);
  await stockUp(t, client);
  t.is((await client.call(orderService.PlaceOrder, order, { key: 'o-1' })).code, status.OK);
  // The relay starts last, so a delivery by the first shop would come first.
  const relay = await start(t, env);
  await confirmed(client, 2);
  await poll('the receiver has the event', () => receiver.received.length === 1);
  const metrics = async ({ ops }: Shop) => (await fetch(`http://127.0.0.1:${ops.port}/metrics`)).text();
  const delivered = /outbox_delivered_total\{destination="webhook",type="order.placed"\} 1/;
  await poll('the relay counts the delivery', async () => delivered.test(await metrics(relay)));
  t.notRegex(await metrics(shop), /outbox_delivered_total\{/);
});

test('an order process and an inventory process work together, each with its own database', async (t) => {
  const inventory = await start(t, { ...(await sqlite(t)), SERVICES: 'inventory' });
  const orders = await start(t, {
    ...(await sqlite(t)),
    SERVICES: 'order',
    INVENTORY_ADDRESS: `127.0.0.1:${inventory.grpc.port}`,
  });
  const stock = connect(t, inventory);
  await stockUp(t, stock);
  const client = connect(t, orders);
  t.is((await client.call(orderService.PlaceOrder, order, { key: 'o-1' })).code, status.OK);
  await confirmed(stock, 2);
  t.is((await client.call(inventoryService.GetItem, { sku: 'tea' })).code, status.UNIMPLEMENTED);
  t.is((await stock.call(orderService.GetOrder, { orderId: 'x' })).code, status.UNIMPLEMENTED);
});

test('with metadata identities each caller has its own keys, and the relay has the identity of the server', async (t) => {
  const shop = await start(t, { ...(await sqlite(t)), CALLER_IDENTITY: 'metadata:x-user' });
  const client = connect(t, shop);
  const [ada, bob] = [{ 'x-user': 'ada' }, { 'x-user': 'bob' }];
  await stockUp(t, client, ada);
  const place = (metadata: Env) => client.call(orderService.PlaceOrder, order, { key: 'same', metadata });
  const [first, second, anonymous] = [await place(ada), await place(bob), await place({})];
  t.not(first.message?.order?.orderId, second.message?.order?.orderId);
  t.is(anonymous.code, status.UNAUTHENTICATED);
  t.true((await place(ada)).replayed);
  await confirmed(client, 4);
});

test('with mutual TLS each certificate has its own keys, and internal calls use the own certificate', async (t) => {
  const folder = await freshFolder(t);
  const ca = await createAuthority(folder, 'ca');
  const server = await ca.issue('server', 'shop.example');
  const shop = await start(t, {
    ...(await sqlite(t)),
    CALLER_IDENTITY: 'mtls',
    TLS_CERT: server.certPath,
    TLS_KEY: server.keyPath,
    TLS_CLIENT_CA: ca.certPath,
  });
  const as = ({ key, cert }: Pair) =>
    connect(t, shop, credentials.createSsl(ca.cert, key, cert, { checkServerIdentity: () => undefined }));
  const [ada, bob] = [as(await ca.issue('ada', 'ada')), as(await ca.issue('bob', 'bob'))];
  await stockUp(t, ada);
  const place = (client: Connection) => client.call(orderService.PlaceOrder, order, { key: 'same' });
  const [first, second] = [await place(ada), await place(bob)];
  t.is(first.code, status.OK, first.details);
  t.not(first.message?.order?.orderId, second.message?.order?.orderId);
  t.true((await place(ada)).replayed);
  await confirmed(ada, 4);
});

for (const identity of ['single', 'metadata:x-user']) {
  test(`with one running call per caller an order succeeds under ${identity}, with its own calls`, async (t) => {
    const limits = { REPLAY_GUARD_MAX_IN_FLIGHT: '1', CALLER_IDENTITY: identity };
    const client = connect(t, await start(t, { ...(await sqlite(t)), ...limits }));
    const metadata = { 'x-user': 'ada' };
    await stockUp(t, client, metadata);
    for (const key of ['o-1', 'o-2']) {
      const placed = await client.call(orderService.PlaceOrder, order, { key, metadata });
      t.is(placed.code, status.OK, placed.details);
    }
    await confirmed(client, 4, metadata);
  });
}

test('a client that sends the entry of own calls is still refused by the quota, which is logged', async (t) => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) });
  const shop = await start(t, { ...(await sqlite(t)), REPLAY_GUARD_MAX_KEYS: '1' }, never, log);
  const client = connect(t, shop);
  const metadata = { 'shop-own-call': 'A'.repeat(43) };
  const put = (key: string) =>
    client.call(
      inventoryService.PutItem,
      { sku: key, name: 'Tea', unitPriceMinor: '450', currency: 'EUR' },
      { key, metadata },
    );
  t.is((await put('one')).code, status.OK);
  for (const key of ['two', 'three']) t.is((await put(key)).code, status.RESOURCE_EXHAUSTED);
  const refusals = lines.filter((line) => line.includes('a call was refused'));
  t.is(refusals.length, 1, 'one line in the interval');
  const refusal = { method: 'PutItem', reason: 'IDEMPOTENCY_QUOTA_EXCEEDED', quota: 'live_keys', limit: 1 };
  t.like(JSON.parse(refusals[0] as string), refusal);
  const metrics = await (await fetch(`http://127.0.0.1:${shop.ops.port}/metrics`)).text();
  t.regex(metrics, /replay_guard_quota_refusals_total\{.*method="PutItem",quota="live_keys"\} 2/);
});

test('an order that a quota of a remote inventory refuses names the inventory and the limit', async (t) => {
  const inventory = await start(t, {
    ...(await sqlite(t)),
    SERVICES: 'inventory',
    REPLAY_GUARD_MAX_KEYS: '2',
  });
  const INVENTORY_ADDRESS = `127.0.0.1:${inventory.grpc.port}`;
  const orders = await start(t, { ...(await sqlite(t)), SERVICES: 'order', INVENTORY_ADDRESS });
  const stock = connect(t, inventory);
  await stockUp(t, stock);
  // PutItem had no key. The stock has one key, the reservation is the second.
  const client = connect(t, orders);
  t.is((await client.call(orderService.PlaceOrder, order, { key: 'o-1' })).code, status.OK);
  const refused = await client.call(orderService.PlaceOrder, order, { key: 'o-2' });
  t.is(refused.code, status.RESOURCE_EXHAUSTED);
  t.regex(refused.details, /^the inventory refused the call: the caller has reached its limit of 2 retained/);
  // The refusal is about the key of the reservation, so the reason is the shop's own.
  t.like(refused.statusDetails?.errorInfo, { reason: 'INVENTORY_QUOTA_EXCEEDED', domain: 'shop' });
});

test('in mode off a repeated call is executed again', async (t) => {
  const client = connect(t, await start(t, { ...(await sqlite(t)), REPLAY_GUARD_MODE: 'off' }));
  await stockUp(t, client);
  const place = () => client.call(orderService.PlaceOrder, order, { key: 'same' });
  t.not((await place()).message?.order?.orderId, (await place()).message?.order?.orderId);
});

test('/policies lists the policy and the mode of each guarded method', async (t) => {
  const shop = await start(t, { ...(await sqlite(t)), REPLAY_GUARD_MODE: 'observe' });
  const page = await fetch(`http://127.0.0.1:${shop.ops.port}/policies`);
  const policies = (await page.json()) as { method: string; replayedCodes: string[] }[];
  const of = (method: string) => policies.find((policy) => policy.method === method);
  t.like(of('/shop.order.v1.OrderService/PlaceOrder') ?? {}, {
    mode: 'OBSERVE',
    atomicity: 'LEASE',
    key: 'REQUIRED',
  });
  t.like(of('/shop.inventory.v1.InventoryService/PutItem') ?? {}, {
    key: 'OPTIONAL',
    retentionMs: 86_400_000,
  });
  t.true(of('/shop.order.v1.OrderService/CancelOrder')?.replayedCodes.includes('NOT_FOUND'));
  t.is(of('/shop.order.v1.OrderService/GetOrder'), undefined);
});

test('the modes follow a change of the mode file, and a wrong file changes no mode', async (t) => {
  const file = join(await freshFolder(t), 'modes.json');
  await writeFile(file, '{"server": "observe"}');
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) });
  const settings = { ...(await sqlite(t)), REPLAY_GUARD_MODE_FILE: file };
  const shop = await start(t, settings, never, log);
  const client = connect(t, shop);
  const change = async (content: string, answer: RegExp) => {
    lines.length = 0;
    await writeFile(file, content);
    await shop.checkFiles();
    t.true(
      lines.some((line) => answer.test(line)),
      lines.join(),
    );
  };
  await stockUp(t, client);
  const place = async () => {
    const { message, trailers } = await client.call(orderService.PlaceOrder, order, { key: 'same' });
    return { id: message?.order?.orderId, replayed: trailers.get('idempotent-replayed').length > 0 };
  };
  const recorded = await place();
  t.false((await place()).replayed);
  for (const wrong of ['{', '{"server": "on"}', '{"methods": {"/no.such/Method": "off"}}', '[]']) {
    await change(wrong, /REPLAY_GUARD_MODE_FILE: .* stays in use/);
  }
  t.false((await place()).replayed);
  await change('{"methods": {"/shop.order.v1.OrderService/PlaceOrder": "enforce"}}', /modes .* were changed/);
  t.deepEqual(await place(), { ...recorded, replayed: true });
});

test('an unguarded order sends new keys to a guarded inventory', async (t) => {
  for (const mode of ['observe', 'off']) {
    const file = join(await freshFolder(t), 'modes.json');
    const reserve = '/shop.inventory.v1.InventoryService/ReserveStock';
    await writeFile(file, JSON.stringify({ server: mode, methods: { [reserve]: 'enforce' } }));
    const client = connect(t, await start(t, { ...(await sqlite(t)), REPLAY_GUARD_MODE_FILE: file }));
    await stockUp(t, client);
    const ids = new Set<string | undefined>();
    for (const _ of [1, 2]) {
      const placed = await client.call(orderService.PlaceOrder, order, { key: 'same' });
      t.is(placed.code, status.OK, placed.details);
      ids.add(placed.message?.order?.reservationId);
    }
    t.is(ids.size, 2, 'each call has its own reservation');
  }
});

test('a wrong mode file at the start stops it with one line', async (t) => {
  const settings = { ...(await sqlite(t)), REPLAY_GUARD_MODE_FILE: '/nowhere/modes.json' };
  await t.throwsAsync(start(t, settings), { name: 'ConfigError', message: /^REPLAY_GUARD_MODE_FILE: / });
});

test('the expiry trailer follows the retention setting', async (t) => {
  const client = connect(t, await start(t, { ...(await sqlite(t)), REPLAY_GUARD_TTL: '30m' }));
  const { trailers } = await client.call(
    inventoryService.PutItem,
    {
      sku: 'tea',
      name: 'Tea',
      currency: 'EUR',
    },
    { key: 'k' },
  );
  const expires = Date.parse(String(trailers.get('idempotency-expires-at')[0]));
  t.true(Math.abs(expires - Date.now() - 1_800_000) < 60_000);
});

test('/metrics shows the metrics of the guard and of the process', async (t) => {
  const shop = await start(t, await sqlite(t));
  await stockUp(t, connect(t, shop));
  const metrics = await (await fetch(`http://127.0.0.1:${shop.ops.port}/metrics`)).text();
  t.regex(metrics, /replay_guard_calls_total\{.*method="ReceiveStock",outcome="executed"\} 1/);
  t.regex(metrics, /^process_cpu_seconds_total /m);
});

test('during a stop a running order completes with its internal calls', async (t) => {
  const url = await freshDatabase(t);
  const shop = await start(t, { DATABASE_URL: url });
  const client = connect(t, shop);
  await stockUp(t, client);

  const lock = new pg.Client({ connectionString: url });
  await lock.connect();
  t.teardown(() => lock.end());
  await lock.query('BEGIN');
  await lock.query('LOCK TABLE inventory_items IN ACCESS EXCLUSIVE MODE');
  const placed = client.call(orderService.PlaceOrder, order, { key: 'o-1' });
  await poll('the order waits for the item', async () => {
    const waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'inventory_items'::regclass";
    return (await lock.query(waiting)).rowCount === 1;
  });
  const stopped = shop.stop();
  const late = await connect(t, shop).call(orderService.ListOrders, { customerId: 'ada' });
  await lock.query('ROLLBACK');
  t.is(late.code, status.UNAVAILABLE);
  const { code, details, message } = await placed;
  t.is(code, status.OK, details);
  t.is(message?.order?.totalMinor, '900');
  await stopped;
});

test('the start waits for a database that is down', async (t) => {
  const proxy = await startProxy(t, await freshDatabase(t));
  proxy.down();
  const ops = `127.0.0.1:${await freePort()}`;
  const starting = start(t, { DATABASE_URL: proxy.url, OPS_ADDRESS: ops });
  const readyz = `http://${ops}/readyz`;
  const answer = async () => (await fetch(readyz).catch(() => undefined))?.text();
  await poll('/readyz gives the reason', async () => (await answer()) === 'the database is unavailable\n');
  proxy.up();
  await starting;
  t.is((await fetch(readyz)).status, 200);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('an aborted signal ends a start that waits for its database', async (t) => {
  const proxy = await startProxy(t, await freshDatabase(t));
  proxy.down();
  const abort = new AbortController();
  const starting = start(t, { DATABASE_URL: proxy.url }, abort.signal);
  abort.abort();
  await t.throwsAsync(starting, { name: 'AbortError' });
});

test('calls fail with UNAVAILABLE while the database is down and succeed after it recovers', async (t) => {
  const proxy = await startProxy(t, await freshDatabase(t));
  const shop = await start(t, { DATABASE_URL: proxy.url });
  const client = connect(t, shop);
  await stockUp(t, client);
  proxy.down();
  t.is((await client.call(orderService.PlaceOrder, order, { key: 'o-1' })).code, status.UNAVAILABLE);
  t.is((await client.call(inventoryService.GetItem, { sku: 'tea' })).code, status.UNAVAILABLE);
  // The result of a check is valid for a second.
  await poll('not ready', async () => !(await ready(shop)));
  proxy.up();
  await poll('ready again', () => ready(shop));
  const placed = await client.call(orderService.PlaceOrder, order, { key: 'o-1' });
  t.is(placed.code, status.OK, placed.details);
});

test('all parts share one line when an outage of the database begins and one when it ends', async (t) => {
  const lines: { readonly msg: string; readonly level: number }[] = [];
  const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
  const proxy = await startProxy(t, await freshDatabase(t));
  const shop = await start(t, { DATABASE_URL: proxy.url }, never, log);
  const client = connect(t, shop);
  await stockUp(t, client);
  const metric = async (name: string) => {
    const text = await (await fetch(`http://127.0.0.1:${shop.ops.port}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  };
  t.is(await metric('shop_ready'), 1);
  lines.length = 0;
  proxy.down();
  for (const key of ['o-1', 'o-2', 'o-3'])
    t.is((await client.call(orderService.PlaceOrder, order, { key })).code, status.UNAVAILABLE);
  await poll('not ready', async () => !(await ready(shop)));
  t.is(await metric('shop_ready'), 0);
  await poll('runs of the relay fail', async () => (await metric('replay_guard_outbox_errors_total')) > 3);
  proxy.up();
  const isBack = ({ msg }: { msg: string }) => msg === 'the database is available again';
  await poll('the line about the recovery', () => lines.some(isBack));
  await poll('a call succeeds', async () => {
    const placed = await client.call(orderService.PlaceOrder, order, { key: 'o-1' });
    return placed.code === status.OK;
  });
  t.deepEqual(
    lines.map(({ msg, level }) => [msg, level]),
    [
      ['the database is unavailable', 50],
      ['the database is available again', 30],
    ],
  );
});

test('a refusal by the database stops the start with one line that names DATABASE_URL', async (t) => {
  const url = new URL(await freshDatabase(t));
  url.pathname = '/nowhere';
  const { message } = await t.throwsAsync(start(t, { DATABASE_URL: url.href }), { name: 'ConfigError' });
  t.regex(message, /^DATABASE_URL: .*"nowhere" does not exist/);
});

test('a server whose database file disappears is not ready and NOT_SERVING, replays, and serves again when the file is back', async (t) => {
  const env = await sqlite(t);
  const shop = await start(t, env);
  const client = connect(t, shop);
  const path = String(env.DATABASE_URL).slice('sqlite:'.length);
  const check = async () => {
    const reply = await client.call(healthService.Check as never, { service: '' } as never);
    return (reply.message as { status: string }).status;
  };
  await stockUp(t, client);
  t.is(await check(), 'SERVING');
  renameSync(path, `${path}.away`);
  // A call notices the loss at once.
  const more = { sku: 'tea', quantity: 10 };
  const lost = await client.call(inventoryService.ReceiveStock, more, { key: 'lost' });
  t.is(lost.code, status.UNAVAILABLE);
  t.like(await client.call(inventoryService.ReceiveStock, more, { key: 'delivery' }), {
    code: status.OK,
    replayed: true,
  });
  await poll('the server is not ready', async () => !(await ready(shop)));
  const page = await fetch(`http://127.0.0.1:${shop.ops.port}/readyz`);
  t.is(await page.text(), 'the file of the database was deleted or replaced\n');
  t.is(await check(), 'NOT_SERVING');
  renameSync(`${path}.away`, path);
  await poll('the server is ready', () => ready(shop));
  t.is(await check(), 'SERVING');
  t.is((await client.call(inventoryService.ReceiveStock, more, { key: 'lost' })).code, status.OK);
});
