import { setTimeout as pause } from 'node:timers/promises';
import type { Standby } from '../../helpers/databases/postgres-cluster.js';
import { poll } from '../../helpers/waiting/poll.js';
import { Admin } from '../database/admin.js';
import type { Arena, Fault } from './fault.js';

const PRIMARY = 'synchronous_standby_names';
const standbys = new WeakMap<Arena, Standby>();
const failedOver = new WeakSet<Arena>();

/**
 * A primary with a synchronous standby. The standby goes away while commits wait for it, and the waiting backends are
 * cancelled or terminated, or the primary is restarted. In the end the primary is lost and the standby is promoted. What
 * a client was told must then be in the new primary.
 */
export const standby: Fault = {
  title: 'synchronous standby stopped, then failover',
  engines: ['postgres'],
  viaProxy: true,
  cluster: { settings: ['wal_level=replica', 'max_wal_senders=5', 'wal_keep_size=512MB'] },
  requires: ['failovers', 'commits without standby', 'replays'],
  pauseMs: 500,
  strike: async (arena) => {
    if (failedOver.has(arena)) return;
    const replica = standbys.get(arena) ?? (await addStandby(arena));
    const isLast = arena.events.of('standby stopped') >= 2 || arena.random() < 0.25;
    await disturb(arena, replica);
    if (isLast) await failOver(arena, replica);
  },
};

/** The same with Debian's Postgres 15. */
export const debianStandby: Fault = {
  ...standby,
  title: "synchronous standby stopped, then failover (Debian's Postgres 15)",
  lacks: ({ debianPostgres }) => (debianPostgres ? undefined : "Debian's Postgres 15"),
  needsDebian: true,
};

async function addStandby(arena: Arena): Promise<Standby> {
  const { cluster, cleanUps, admin } = arena;
  const replica = await cluster.startStandby('standby');
  cleanUps.teardown(replica.stop);
  standbys.set(arena, replica);
  await replicating(admin, 'async');
  await admin.query(`ALTER SYSTEM SET ${PRIMARY} = '*'`);
  await admin.query('SELECT pg_reload_conf()');
  await replicating(admin, 'sync');
  return replica;
}

/** The standby stops, so that commits wait. The waiting backends are ended in one of three ways. */
async function disturb({ admin, cluster, random, events }: Arena, replica: Standby): Promise<void> {
  await replica.pause();
  events.add('standby stopped');
  const waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
  await poll('a commit waits for the standby', async () => {
    return (await admin.query(`SELECT pid ${waiting}`)).length > 0;
  });
  const way = random();
  for (let rounds = 0; rounds < 3; rounds++) {
    if (way < 0.4) await admin.query(`SELECT pg_cancel_backend(pid) ${waiting}`);
    else if (way < 0.8) await admin.query(`SELECT pg_terminate_backend(pid) ${waiting}`);
    else if (rounds === 0) await cluster.restart();
    events.add('commits without standby');
    await pause(random() * 400);
  }
  if (random() < 0.5) {
    await replica.resume();
    await replicating(admin, 'sync');
  }
}

/** Loses the primary and promotes the standby, with what the standby has received. */
async function failOver(arena: Arena, replica: Standby): Promise<void> {
  const { cluster, proxy, events } = arena;
  await cluster.crash();
  await replica.resume();
  const promoting = new Admin(replica.url);
  await promoting.query('SELECT pg_promote()');
  // The new primary has no standby.
  await promoting.query(`ALTER SYSTEM RESET ${PRIMARY}`);
  await promoting.query('SELECT pg_reload_conf()');
  await promoting.close();
  failedOver.add(arena);
  arena.url = Object.assign(new URL(replica.url), { pathname: new URL(arena.url).pathname }).href;
  proxy.redirect(arena.url);
  events.add('failovers');
}

async function replicating(admin: Admin, state: 'async' | 'sync'): Promise<void> {
  await poll(`the standby is ${state}`, async () => {
    const rows = await admin.query('SELECT sync_state FROM pg_stat_replication');
    return rows.some(({ sync_state }) => sync_state === state);
  });
}
