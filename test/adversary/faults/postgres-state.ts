import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { Admin } from '../database/admin.js';
import type { Fault } from './fault.js';

const engines = ['postgres'] as const;

/** Makes the whole Postgres read-only for new transactions, as a failover or a full disk does. */
export const readOnly: Fault = {
  title: 'database read-only',
  engines,
  cluster: {},
  requires: ['read-only times', 'STORE_UNAVAILABLE', 'replays'],
  pauseMs: 800,
  strike: async ({ admin, random, events }) => {
    await admin.query('SET default_transaction_read_only = off');
    await admin.query('ALTER SYSTEM SET default_transaction_read_only = on');
    await admin.query('SELECT pg_reload_conf()');
    events.add('read-only times');
    try {
      await pause(300 + random() * 1_200);
    } finally {
      await admin.query('ALTER SYSTEM RESET default_transaction_read_only');
      await admin.query('SELECT pg_reload_conf()');
    }
  },
};

/** Takes every connection that Postgres allows, after the connections of the servers have been terminated. */
export const exhausted: Fault = {
  title: 'connections exhausted',
  engines,
  cluster: { settings: ['max_connections=30', 'superuser_reserved_connections=0'] },
  servers: { maxConnections: 2 },
  requires: ['exhaustions', 'STORE_UNAVAILABLE', 'replays'],
  pauseMs: 800,
  strike: async ({ admin, random, events, url }) => {
    const taken: pg.Client[] = [];
    const take = async () => {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => {});
      try {
        await client.connect();
        taken.push(client);
        return true;
      } catch {
        await client.end().catch(() => {});
        return false;
      }
    };
    // The operator's connection must be there before the others are gone.
    await admin.query('SELECT 1');
    try {
      while (await take());
      await admin.query(`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`);
      while (await take());
      if (taken.length > 10) events.add('exhaustions');
      await pause(200 + random() * 800);
    } finally {
      await Promise.all(taken.map((client) => client.end().catch(() => {})));
    }
  },
};

const tables = ['replay_guard_records', 'effects', 'stock', 'replay_guard_producers'] as const;

/** Locks a table from another session. */
export const locked: Fault = {
  title: 'tables locked by another session',
  engines,
  requires: ['table locks', 'replays'],
  pauseMs: 400,
  strike: async ({ random, events, url }) => {
    const locker = new Admin(url);
    const table = tables[Math.floor(random() * tables.length)];
    try {
      await locker.query('BEGIN');
      await locker.query(`SET LOCAL lock_timeout = '10s'`);
      await locker.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
      events.add('table locks');
      await pause(random() * 1_800);
      await locker.query('COMMIT');
    } finally {
      await locker.close();
    }
  },
};

let columns = 0;

/** Changes the schema under the servers, while their pools discard prepared statements. */
export const altered: Fault = {
  title: 'schema altered under load, DISCARD ALL',
  engines,
  servers: { discards: true },
  requires: ['schema changes', 'replays'],
  pauseMs: 250,
  strike: async ({ admin, random, events }) => {
    const table = random() < 0.5 ? 'stock' : 'effects';
    const column = `column_${++columns}`;
    const index = `index_${columns}`;
    const changes = [
      `ALTER TABLE ${table} ADD COLUMN ${column} TEXT`,
      'ALTER TABLE stock ALTER COLUMN reserved TYPE NUMERIC',
      'ALTER TABLE stock ALTER COLUMN reserved TYPE BIGINT',
      `ALTER TABLE replay_guard_records ADD COLUMN ${column} INTEGER`,
      'ALTER TABLE replay_guard_records ALTER COLUMN state TYPE INTEGER',
      'ALTER TABLE replay_guard_records ALTER COLUMN state TYPE SMALLINT',
      `CREATE INDEX ${index} ON ${table} (item)`,
      `CREATE INDEX CONCURRENTLY ${index} ON replay_guard_records (fingerprint)`,
      'ANALYZE',
    ];
    await admin.query(String(changes[Math.floor(random() * changes.length)]));
    events.add('schema changes');
  },
};

/** Ends every lease in the database at once, as a clock of the database that jumps does. */
export const expiredLeases: Fault = {
  title: 'all leases expire in the database',
  engines,
  // The handlers take longer, so that more of them are overtaken.
  servers: { handlerMs: 200 },
  requires: ['expired leases', 'takeovers', 'replays'],
  pauseMs: 150,
  strike: async ({ admin, events }) => {
    const expire = (table: string) =>
      admin.query(`UPDATE ${table} SET lease_until = 0 WHERE state <= 0 RETURNING 1`);
    const expired = [...(await expire('replay_guard_records')), ...(await expire('replay_guard_producers'))];
    events.add('expired leases', expired.length);
  },
};
