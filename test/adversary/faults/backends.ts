import { setTimeout as pause } from 'node:timers/promises';
import type { Arena, Fault } from './fault.js';

/** Selects the backends that run a statement or a transaction for the servers. */
const busy = `
  SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND (state <> 'idle' OR $1)`;

/** Calls a function of Postgres on a random backend of the servers. Resolves to whether such a backend existed. */
async function onBackend({ admin, random, events }: Arena, call: string, event: string): Promise<boolean> {
  const chosen = `SELECT ${call}(pid) AS done FROM (${busy} ORDER BY md5(pid || $2) LIMIT 1) AS chosen`;
  const [row] = await admin.query(chosen, [random() < 0.1, String(random())]);
  if (row?.done === true) events.add(event);
  return row?.done === true;
}

/** Cancels backends at random, many times a second. */
export const cancelled: Fault = {
  title: 'backends cancelled at random',
  engines: ['postgres'],
  requires: ['cancelled backends', 'STORE_UNAVAILABLE', 'replays'],
  pauseMs: 12,
  strike: async (arena) => {
    await onBackend(arena, 'pg_cancel_backend', 'cancelled backends');
  },
};

/** Terminates backends at random. */
export const terminated: Fault = {
  title: 'backends terminated at random',
  engines: ['postgres'],
  requires: ['terminated backends', 'STORE_UNAVAILABLE', 'replays'],
  pauseMs: 80,
  strike: async (arena) => {
    await onBackend(arena, 'pg_terminate_backend', 'terminated backends');
  },
};

/** Stops every backend of the servers with SIGSTOP, so that their answers are late, also past the lease. */
export const frozen: Fault = {
  title: 'answers held back (backends stopped with SIGSTOP)',
  engines: ['postgres'],
  lacks: ({ isRoot }) => (isRoot ? undefined : 'root'),
  requires: ['held backends', 'replays'],
  pauseMs: 500,
  strike: async ({ admin, random, events, leaseMs }) => {
    const rows = await admin.query(busy, [true]);
    const pids = rows.map(({ pid }) => Number(pid));
    const send = (signal: NodeJS.Signals) => {
      for (const pid of pids) {
        try {
          process.kill(pid, signal);
        } catch {
          // The backend has ended.
        }
      }
    };
    send('SIGSTOP');
    events.add('held backends', pids.length);
    try {
      await pause(100 + random() * leaseMs * 2);
    } finally {
      send('SIGCONT');
    }
  },
};
