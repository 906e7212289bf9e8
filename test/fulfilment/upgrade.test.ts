import test from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { migrateOutbox } from 'grpc-replay-guard/outbox';
import pg from 'pg';
import { readConfig } from '#src/config/config.js';
import { formerOutboxSchema } from '#src/fulfilment/former-outbox.js';
import { inventorySchema } from '#src/inventory/schema.js';
import { orderSchema } from '#src/order/schema.js';
import { createLog } from '#src/platform/log.js';
import { startShop } from '#src/shop.js';
import { engines, freshData } from '../helpers/databases/engines.js';
import { stockOf } from '../helpers/servers/shop.js';
import { poll } from '../helpers/waiting/poll.js';

/** The migration steps of the former outbox table. */
const formerSteps = [
  `CREATE TABLE outbox_events (
    event_id TEXT PRIMARY KEY,
    aggregate TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    done_at BIGINT,
    UNIQUE (aggregate, sequence)
  )`,
  'CREATE INDEX outbox_events_due ON outbox_events (due_at) WHERE done_at IS NULL',
  'CREATE INDEX outbox_events_waiting ON outbox_events (aggregate, sequence) WHERE done_at IS NULL',
];

const CREATED = Date.now() - 60_000;

/** Adds an order with a pending confirmation, and a cancelled order with a pending release. */
async function fill(database: Database): Promise<void> {
  const run = (sql: string) => database.query(sql);
  await run(`INSERT INTO inventory_items VALUES ('tea', 'Grüner "Tee"', 450, 'EUR', 10, 4)`);
  for (const [order, status] of [
    ['o1', 'PLACED'],
    ['o2', 'CANCELLED'],
  ]) {
    const reservation = `r-${order}`;
    await run(
      `INSERT INTO inventory_reservations VALUES ('${reservation}', 'HELD', ${Date.now() + 3_600_000})`,
    );
    await run(`INSERT INTO inventory_reservation_lines VALUES ('${reservation}', 'tea', 2, 450)`);
    await run(
      `INSERT INTO orders VALUES ('${order}', 'ada', '[]', 900, 'EUR', '${status}', '${reservation}', ${CREATED}, '{}', NULL)`,
    );
  }
  const event = (id: string, aggregate: string, sequence: number, type: string, rest: string, lines = '') =>
    run(
      `INSERT INTO outbox_events VALUES ('${id}', '${aggregate}', ${sequence}, '${type}',
        '{"orderId":"${aggregate}","reservationId":"r-${aggregate}","note":"\\"\\\\ü"${lines}}', ${CREATED}, ${rest})`,
    );
  await event('e1', 'o1', 1, 'order.placed', `${CREATED}, 0, NULL, NULL`);
  await event('e2', 'o2', 1, 'order.placed', `${CREATED}, 1, NULL, ${CREATED}`);
  const lines = ',"lines":[{"sku":"tea","quantity":2}]';
  await event('e3', 'o2', 2, 'order.cancelled', `${CREATED}, 120, 'the inventory was down', NULL`, lines);
}

for (const engine of engines) {
  test(`${engine}: pending events of the former outbox are delivered after an upgrade`, async (t) => {
    const data = await freshData(t, engine);
    const { database } = await data.open();
    await database.migrate('inventory', inventorySchema);
    await database.migrate('order', orderSchema);
    await database.migrate('outbox', formerSteps);
    await fill(database);
    const env = { DATABASE_URL: data.url, GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0' };
    const start = () => startShop(readConfig(env), createLog('silent'), new AbortController().signal);
    const shop = await start();
    t.teardown(() => shop.stop());
    const events = () =>
      database.query('SELECT event_id, ended_at FROM replay_guard_outbox ORDER BY event_id');
    await poll('both events are delivered', async () =>
      (await events()).every((row) => row.ended_at !== null),
    );
    t.deepEqual(
      (await events()).map((row) => row.event_id),
      ['e1', 'e3'],
    );
    const states = await database.query('SELECT state FROM inventory_reservations ORDER BY reservation_id');
    t.deepEqual(
      states.map(({ state }) => state),
      ['CONFIRMED', 'RELEASED'],
    );
    t.deepEqual(await stockOf(database, 'tea'), [8, 0]);
    await t.throwsAsync(database.query('SELECT event_id FROM outbox_events'), { any: true });
    await shop.stop();
    await (await start()).stop();
  });
}

test('postgres: an event in an open transaction of an earlier server is moved too', async (t) => {
  const data = await freshData(t, 'postgres');
  const { database } = await data.open({ lockTimeoutMs: 20_000 });
  await migrateOutbox(database);
  await database.migrate('outbox', formerSteps);
  const server = new pg.Client({ connectionString: data.url });
  await server.connect();
  t.teardown(() => server.end());
  await server.query('BEGIN');
  await server.query(
    `INSERT INTO outbox_events VALUES ('e1', 'o1', 1, 'order.placed', '{}', 1, 1, 0, NULL, NULL)`,
  );
  const migrating = database.migrate('outbox', formerOutboxSchema(database.dialect));
  await poll('the migration waits for the transaction', async () => {
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    return (await server.query(waiting)).rows.length === 1;
  });
  await server.query('COMMIT');
  await migrating;
  t.deepEqual(await database.query('SELECT event_id FROM replay_guard_outbox'), [{ event_id: 'e1' }]);
});
