import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { readConfig } from '#src/config/config.js';
import { createLog } from '#src/platform/log.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { startShop } from '#src/shop.js';
import { assertRefused } from './helpers/calls/assert-refused.js';
import { Connection } from './helpers/calls/call.js';
import { freshData } from './helpers/databases/engines.js';
import { type PassingCall, startGrpcProxy } from './helpers/proxies/grpc-proxy.js';

async function serve(t: ExecutionContext, env: Record<string, string>) {
  const { url } = await freshData(t, 'sqlite');
  const listeners = { GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', LOG_LEVEL: 'silent' };
  const config = readConfig({ ...listeners, DATABASE_URL: url, ...env });
  const shop = await startShop(config, createLog(config.logLevel), new AbortController().signal);
  t.teardown(() => shop.stop());
  const address = `127.0.0.1:${shop.grpc.port}`;
  const connection = new Connection(address, credentials.createInsecure());
  t.teardown(() => connection.close());
  return { address, connection };
}

for (const mode of ['off', 'observe']) {
  test(`an order service in mode ${mode} sends new keys to a guarded inventory, and no key with reads`, async (t) => {
    const inventory = await serve(t, { SERVICES: 'inventory' });
    const proxy = await startGrpcProxy(t, inventory.address);
    const env = { SERVICES: 'order', INVENTORY_ADDRESS: proxy.address, REPLAY_GUARD_MODE: mode };
    const { connection } = await serve(t, env);
    const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
    await inventory.connection.call(inventoryService.PutItem, item);
    const more = { sku: 'tea', quantity: 10 };
    const keyless = await inventory.connection.call(inventoryService.ReceiveStock, more);
    assertRefused(t, keyless, status.INVALID_ARGUMENT, 'IDEMPOTENCY_KEY_MISSING', 'BadRequest');
    await inventory.connection.call(inventoryService.ReceiveStock, more, { key: 'delivery' });

    const order = { customerId: 'ada', lines: [{ sku: 'tea', quantity: 2 }] };
    for (let i = 0; i < 2; i++) {
      const placed = await connection.call(orderService.PlaceOrder, order);
      t.is(placed.code, status.OK, placed.details);
    }
    const sent = (method: string) =>
      proxy.calls
        .filter(({ path }) => path.endsWith(`/${method}`))
        .map(({ headers }: PassingCall) => [headers['idempotency-key'], headers['idempotency-first-sent']]);
    t.deepEqual(
      sent('GetItem'),
      [0, 1].map(() => [undefined, undefined]),
    );
    const reserved = sent('ReserveStock');
    t.is(new Set(reserved.map(([key]) => key)).size, 2);
    for (const [key, firstSent] of reserved) {
      t.regex(String(key), /^[0-9a-f-]{14}7[0-9a-f]{3}-[0-9a-f-]{17}$/);
      t.false(Number.isNaN(Date.parse(String(firstSent))));
    }
  });
}
