import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { readConfig } from '#src/config/config.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { startShop } from '#src/shop.js';
import { Connection } from '../helpers/calls/call.js';
import { administer } from '../helpers/databases/administer.js';
import { pgbouncer, startPgBouncer } from '../helpers/databases/pgbouncer.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { poll } from '../helpers/waiting/poll.js';

/** Runs a test on a new database behind a PgBouncer. Without a PgBouncer the test reports that it did not run. */
function it(title: string, check: (t: ExecutionContext, pooled: string, url: string) => Promise<void>): void {
  test(title, async (t) => {
    if (!pgbouncer) {
      t.log('did not run: this machine has no PgBouncer');
      return t.pass();
    }
    const url = await freshDatabase(t);
    const pooler = await startPgBouncer(url);
    t.teardown(pooler.stop);
    await check(t, pooler.url, url);
  });
}

async function start(t: ExecutionContext, env: NodeJS.ProcessEnv) {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
  const config = readConfig({ GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', ...env });
  const shop = await startShop(config, log, new AbortController().signal);
  t.teardown(() => shop.stop());
  const client = new Connection(`127.0.0.1:${shop.grpc.port}`, credentials.createInsecure());
  t.teardown(() => client.close());
  return { client, lines };
}

it('a pooler in transaction mode stops the start with one line that names DATABASE_POOLER', async (t, pooled) => {
  const { message } = await t.throwsAsync(start(t, { DATABASE_URL: pooled }), { name: 'ConfigError' });
  t.is(
    message,
    'DATABASE_POOLER: must be transaction: a pooler refuses the time-outs (unsupported startup parameter: statement_timeout)',
  );
});

it('with DATABASE_POOLER the shop places orders through PgBouncer, and delivers their events by polling', async (t, pooled, url) => {
  const { client, lines } = await start(t, { DATABASE_URL: pooled, DATABASE_POOLER: 'transaction' });
  t.true(lines.some((line) => line.includes('events of other servers are found by polling')));
  const ok = async (call: Promise<{ code: status; details: string }>) => {
    const { code, details } = await call;
    t.is(code, status.OK, details);
  };
  const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
  await ok(client.call(inventoryService.PutItem, item));
  await ok(client.call(inventoryService.ReceiveStock, { sku: 'tea', quantity: 10 }, { key: 'delivery' }));
  const order = { customerId: 'ada', lines: [{ sku: 'tea', quantity: 2 }] };
  await ok(client.call(orderService.PlaceOrder, order, { key: 'order' }));
  const replayed = await client.call(orderService.PlaceOrder, order, { key: 'order' });
  t.like(replayed, { code: status.OK, replayed: true });
  await poll('the reservation is confirmed', async () => {
    const [row] = await administer(url, 'SELECT sum(reserved)::int AS reserved FROM inventory_items');
    return row?.reserved === 0;
  });
});
