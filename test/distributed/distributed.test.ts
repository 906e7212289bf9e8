import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { Connection } from '../helpers/calls/call.js';
import { administer } from '../helpers/databases/administer.js';
import { isCitus } from '../helpers/databases/citus.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { connectTo } from '../helpers/servers/server.js';
import { poll } from '../helpers/waiting/poll.js';
import { allDelivered, startShopServers, stock, succeeded } from '../scenarios/shop-servers.js';
import { endings } from './node-commands.js';

const tea = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
const order = (quantity: number) => ({ customerId: 'ada', lines: [{ sku: 'tea', quantity }] });
const place = (client: Connection, quantity: number) =>
  client.call(orderService.PlaceOrder, order(quantity), { key: 'order-1' });

// The calls of the README, on Postgres. `npm run distributed` runs them on a Citus cluster.
test('an order is placed once, replayed also after a crash, and its key refuses another order', async (t) => {
  const { servers, database } = await startShopServers(t, 'postgres');
  const [server] = servers;
  if (!server) return t.fail();
  const client = connectTo(t, await server.grpcAddress());
  succeeded(await client.call(inventoryService.PutItem, tea));
  succeeded(await client.call(inventoryService.ReceiveStock, { sku: 'tea', quantity: 10 }, { key: 'k-1' }));
  const placed = succeeded(await place(client, 2));
  t.false(placed.replayed);
  const replayed = succeeded(await place(client, 2));
  t.true(replayed.replayed);
  t.deepEqual(replayed.bytes, placed.bytes);
  assertRefused(t, await place(client, 3), status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  await poll('the relay confirms the reservation', () => allDelivered(database));
  t.deepEqual(await stock(database, 'tea'), { onHand: 8, reserved: 0 });

  await server.kill();
  const restarted = connectTo(t, await (await server.restart(t)).grpcAddress());
  const after = succeeded(await place(restarted, 2));
  t.true(after.replayed);
  t.deepEqual(after.bytes, placed.bytes);
  if (await isCitus()) await assertLayout(t, database);
});

/**
 * Asserts that the records are distributed, and that Citus knows every other table. A commit over records and a table
 * that Citus does not know is not atomic.
 */
async function assertLayout(t: ExecutionContext, database: Database): Promise<void> {
  const tables = await database.query(
    `SELECT relname::text AS name, partmethod::text AS method
     FROM pg_class LEFT JOIN pg_dist_partition ON logicalrelid = pg_class.oid
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
  );
  const named = (method: string | null) =>
    tables.filter((table) => table.method === method).map(({ name }) => String(name));
  t.deepEqual(named('h').sort(), ['replay_guard_producers', 'replay_guard_records']);
  t.deepEqual(named(null), [], 'Citus knows every table');
  t.true(named('n').includes('orders'));
}

const createNotes = 'CREATE TABLE notes (scope BIGINT NOT NULL, text TEXT NOT NULL)';
const coLocateNotes =
  "SELECT create_distributed_table('notes', 'scope', colocate_with => 'replay_guard_records')";

// How a unit of work commits depends on the nodes that it has written to. Without Citus there is one node.
test('a write to a table that is co-located with the records commits on one node', async (t) => {
  const url = await freshDatabase(t);
  await administer(url, createNotes);
  if (await isCitus()) await administer(url, coLocateNotes);
  t.deepEqual(await endings(t, url, 'notes'), (await isCitus()) ? ['COMMIT'] : []);
});

test('a write to a table on the coordinator commits in two phases', async (t) => {
  const url = await freshDatabase(t);
  await administer(url, createNotes);
  const inTwoPhases = ['PREPARE TRANSACTION', 'COMMIT PREPARED'];
  t.deepEqual(await endings(t, url, 'notes'), (await isCitus()) ? inTwoPhases : []);
});
