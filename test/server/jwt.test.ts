import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials, type Metadata, ServerInterceptingCall, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { readConfig } from '#src/config/config.js';
import { createLog } from '#src/platform/log.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { type Shop, startShop } from '#src/shop.js';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { Connection } from '../helpers/calls/call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import {
  AUDIENCE,
  bearer,
  goodClaims,
  ISSUER,
  keySet,
  newSigningKey,
  nowSeconds,
  serveKeys,
  sign,
} from '../helpers/identities/tokens.js';
import { startServer } from '../helpers/servers/server.js';
import { poll } from '../helpers/waiting/poll.js';

type Test = ExecutionContext;
type Env = Record<string, string>;

const key = await newSigningKey('one');
const [ada, bob] = [await bearer(key), await bearer(key, { sub: 'bob' })];

/** Makes the settings of a shop that has the issuer's keys, in a new folder. */
async function settings(t: Test): Promise<{ env: Env; folder: string }> {
  const folder = await freshFolder(t);
  const jwks = join(folder, 'jwks.json');
  await writeFile(jwks, JSON.stringify(keySet(key)));
  const env = {
    ...{ GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', LOG_LEVEL: 'silent' },
    ...{ DATABASE_URL: `sqlite:${join(folder, 'shop.db')}`, CALLER_IDENTITY: 'jwt' },
    ...{ JWT_JWKS: jwks, JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE },
  };
  return { env, folder };
}

async function start(t: Test, env: Env): Promise<Shop> {
  const config = readConfig(env);
  const shop = await startShop(config, createLog(config.logLevel), new AbortController().signal);
  t.teardown(() => shop.stop());
  return shop;
}

function connect(t: Test, { grpc }: Shop): Connection {
  const connection = new Connection(`127.0.0.1:${grpc.port}`, credentials.createInsecure());
  t.teardown(() => connection.close());
  return connection;
}

/** Puts the item `tea` with ten pieces in stock. */
async function stockUp(t: Test, client: Connection): Promise<void> {
  const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
  t.is((await client.call(inventoryService.PutItem, item, { metadata: ada })).code, status.OK);
  const more = { sku: 'tea', quantity: 10 };
  const got = await client.call(inventoryService.ReceiveStock, more, { key: 'delivery', metadata: ada });
  t.is(got.code, status.OK, got.details);
}

const place = (client: Connection, metadata: Env, quantity = 2) => {
  const order = { customerId: 'ada', lines: [{ sku: 'tea', quantity }] };
  return client.call(orderService.PlaceOrder, order, { key: 'same', metadata });
};

const stockIs = (client: Connection, onHand: string, reserved: string) =>
  poll(`${onHand} on hand, ${reserved} reserved`, async () => {
    const { message } = await client.call(inventoryService.GetItem, { sku: 'tea' });
    return message?.item?.onHand === onHand && message.item.reserved === reserved;
  });

test('renewed keys of the issuer in a file are used without a restart, and a broken file is not', async (t) => {
  const { env } = await settings(t);
  const shop = await start(t, env);
  const client = connect(t, shop);
  const next = await newSigningKey('two');
  const put = async (metadata: Env) => {
    const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
    return (await client.call(inventoryService.PutItem, item, { key: 'put', metadata })).code;
  };
  t.is(await put(ada), status.OK);
  t.is(await put(await bearer(next)), status.UNAUTHENTICATED);
  await writeFile(env.JWT_JWKS as string, '{');
  await shop.checkFiles();
  t.is(await put(ada), status.OK);
  await writeFile(env.JWT_JWKS as string, JSON.stringify(keySet(next)));
  await shop.checkFiles();
  t.is(await put(await bearer(next)), status.OK);
  t.is(await put(ada), status.UNAUTHENTICATED);
});

test('each caller has its own keys, and the relay confirms every order', async (t) => {
  const { env } = await settings(t);
  const shop = await start(t, env);
  const client = connect(t, shop);
  await stockUp(t, client);
  const first = await place(client, ada);
  t.is(first.code, status.OK, first.details);
  const replayed = await place(client, await bearer(key, { jti: 'another token' }));
  t.true(replayed.replayed);
  t.deepEqual(replayed.bytes, first.bytes);
  const second = await place(client, bob);
  t.like(second, { code: status.OK, replayed: false });
  t.not(second.message?.order?.orderId, first.message?.order?.orderId);
  await stockIs(client, '6', '0');
  await shop.stop();

  const again = connect(t, await start(t, env));
  t.deepEqual((await place(again, ada)).bytes, first.bytes);
  t.deepEqual((await place(again, bob)).bytes, second.bytes);
});

test('a call without a valid token is refused, also with the metadata entries of internal calls', async (t) => {
  const { env } = await settings(t);
  const client = connect(t, await start(t, env));
  await stockUp(t, client);
  const stranger = await newSigningKey('one');
  const bad = [
    ...[{}, { authorization: 'Bearer x' }, { 'shop-own-call': 'x' }, { 'x-user': 'shop-order' }],
    ...[await bearer(stranger), await bearer(key, { exp: nowSeconds() - 60 })],
    await bearer(key, { aud: 'bank' }),
  ];
  for (const metadata of bad) {
    assertRefused(
      t,
      await place(client, metadata as Env),
      status.UNAUTHENTICATED,
      'IDEMPOTENCY_SCOPE_MISSING',
    );
  }
  await stockIs(client, '10', '0');
});

test('JWT_CLAIM selects the identity claim, and JWT_ALGORITHMS restricts the signatures', async (t) => {
  const { env } = await settings(t);
  const rules = { JWT_CLAIM: 'tenant', JWT_ALGORITHMS: 'ES256' };
  const client = connect(t, await start(t, { ...env, ...rules }));
  const put = async (changes: Env) => {
    const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
    const metadata = await bearer(key, changes);
    return client.call(inventoryService.PutItem, item, { key: 'put', metadata });
  };
  t.like(await put({ tenant: 'acme' }), { code: status.OK, replayed: false });
  t.like(await put({ tenant: 'acme', sub: 'bob' }), { code: status.OK, replayed: true });
  t.like(await put({ tenant: 'other' }), { code: status.OK, replayed: false });
  t.is((await put({})).code, status.UNAUTHENTICATED);
  const strict = connect(t, await start(t, { ...(await settings(t)).env, JWT_ALGORITHMS: 'RS256' }));
  t.is((await place(strict, ada)).code, status.UNAUTHENTICATED);
});

test('with an unavailable key URL the shop starts and refuses calls as retryable until the keys arrive', async (t) => {
  const { env } = await settings(t);
  const keys = await serveKeys(t, 'down');
  const client = connect(t, await start(t, { ...env, JWT_JWKS: keys.url }));
  const reply = await place(client, ada);
  assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_SCOPE_UNAVAILABLE', 'RetryInfo');
  keys.answer = keySet(key);
  await stockUp(t, client);
  t.is((await place(client, ada)).code, status.OK);
  await stockIs(client, '8', '0');
});

test('a remote inventory gets the token of the caller, and in calls without a caller the token of the file', async (t) => {
  const { env, folder } = await settings(t);
  const inventory = await start(t, { ...env, SERVICES: 'inventory' });
  const token = join(folder, 'token');
  // This token has expired. The test replaces it later.
  await writeFile(token, `${await sign(key, goodClaims({ sub: 'shop', exp: nowSeconds() - 60 }))}\n`);
  const orders = await start(t, {
    ...{ ...env, DATABASE_URL: `sqlite:${join(folder, 'orders.db')}`, SERVICES: 'order' },
    ...{ INVENTORY_ADDRESS: `127.0.0.1:${inventory.grpc.port}`, JWT_SELF_TOKEN_FILE: token },
  });
  const [stock, client] = [connect(t, inventory), connect(t, orders)];
  await stockUp(t, stock);
  t.is((await place(client, ada)).code, status.OK);
  await stockIs(stock, '10', '2');
  await writeFile(token, await sign(key, goodClaims({ sub: 'shop' })));
  await stockIs(stock, '8', '0');
});

test('a remote inventory gets the identity of the caller and no other metadata of the caller or the server', async (t) => {
  const { env, folder } = await settings(t);
  const received: Metadata[] = [];
  const spy = await startServer(t, {
    interceptors: [
      (_method, call) =>
        new ServerInterceptingCall(call, {
          start: (next) =>
            next({
              onReceiveMetadata: (metadata, forward) => {
                received.push(metadata);
                forward(metadata);
              },
            }),
        }),
    ],
    services: [[inventoryService, {}]],
  });
  const token = join(folder, 'token');
  await writeFile(token, await sign(key, goodClaims({ sub: 'shop' })));
  const env2 = { INVENTORY_ADDRESS: spy.address, JWT_SELF_TOKEN_FILE: token, SERVICES: 'order' };
  const client = connect(t, await start(t, { ...env, ...env2 }));
  t.not((await place(client, { ...ada, 'x-user': 'root', cookie: 'secret' })).code, status.OK);
  t.true(received.length > 0);
  for (const metadata of received) {
    t.deepEqual(metadata.get('authorization'), [ada.authorization]);
    for (const name of ['shop-own-call', 'x-user', 'cookie']) t.deepEqual(metadata.get(name), [], name);
  }
});

test('unusable keys or an unusable token stop the start with one line', async (t) => {
  const { env, folder } = await settings(t);
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const far = { INVENTORY_ADDRESS: 'inventory:1', SERVICES: 'order' };
  const wrong: [Env, RegExp][] = [
    [{ JWT_JWKS: join(folder, 'none.json') }, /^JWT_JWKS: .*none\.json cannot be used: ENOENT/],
    [{ JWT_JWKS: folder }, /^JWT_JWKS: .*EISDIR/],
    [{ JWT_JWKS: await file('a', 'hunter2') }, /^JWT_JWKS: .* cannot be used: the file is not JSON$/],
    [{ JWT_JWKS: await file('b', '{"keys":[]}') }, /^JWT_JWKS: .*holds no public key/],
    [{ JWT_JWKS: await file('c', 'null') }, /^JWT_JWKS: .*not a JSON Web Key Set/],
    [{ JWT_JWKS: 'http://issuer.example/jwks' }, /^JWT_JWKS: .*must be https:/],
    [{ JWT_JWKS: 'https://ada:hunter2@issuer.example' }, /^JWT_JWKS: .*must not hold a user or a password/],
    [{ ...far, JWT_SELF_TOKEN_FILE: join(folder, 'none') }, /^JWT_SELF_TOKEN_FILE: .*ENOENT/],
    [
      { ...far, JWT_SELF_TOKEN_FILE: await file('d', 'hunter2') },
      /^JWT_SELF_TOKEN_FILE: .*does not contain a JSON Web Token/,
    ],
  ];
  for (const [changes, line] of wrong) {
    const { message } = await t.throwsAsync(start(t, { ...env, ...changes }), { name: 'ConfigError' });
    t.regex(message, line);
    t.false(message.includes('hunter2'));
    t.false(message.includes('\n'));
  }
});
