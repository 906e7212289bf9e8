import { randomUUID } from 'node:crypto';
import test from 'ava';
import { orderService } from '#src/rpc/definitions.js';
import type { Connection } from '../helpers/calls/call.js';
import { engines } from '../helpers/databases/engines.js';
import type { ServerProcess } from '../helpers/processes/shop-process.js';
import * as shop from './shop-servers.js';

for (const engine of engines) {
  test(`${engine}: after a restart of the server a key replays, and another payload is refused`, async (t) => {
    const { servers } = await shop.startShopServers(t, engine);
    const server = servers[0] as ServerProcess;
    const [before] = (await shop.connections(t, servers, 1)) as [Connection];
    await shop.stockItem(before, 'tea', 10);
    const key = randomUUID();
    const first = shop.succeeded(await shop.order(before, key, 'tea', 2));
    t.false(first.replayed);

    t.deepEqual(await server.stop(), { code: 0, signal: null });
    const [after] = (await shop.connections(t, [await server.restart(t)], 1)) as [Connection];
    const again = shop.succeeded(await shop.order(after, key, 'tea', 2));
    t.true(again.replayed);
    t.deepEqual(again.bytes, first.bytes);
    t.is(again.trailers.get('idempotency-expires-at')[0], first.trailers.get('idempotency-expires-at')[0]);

    const other = await shop.order(after, key, 'tea', 3);
    t.is(other.code, 9);
    t.is(other.statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_REUSED');
    const { message } = shop.succeeded(await after.call(orderService.ListOrders, { customerId: 'ada' }));
    t.is(message?.orders.length, 1);
  });
}
