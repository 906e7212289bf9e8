import { setTimeout as pause } from 'node:timers/promises';
import { pgbouncer } from '../../helpers/databases/pgbouncer.js';
import type { Fault } from './fault.js';

/**
 * PgBouncer in transaction mode ends while transactions are open. It is killed behind a COMMIT whose answer is held back, or it ends
 * by SIGINT when the transactions have ended. A supervisor starts it again.
 */
export const poolerKilled: Fault = {
  title: 'PgBouncer killed at COMMIT and restarted',
  engines: ['postgres'],
  lacks: () => (pgbouncer ? undefined : 'PgBouncer'),
  viaProxy: true,
  viaPooler: true,
  requires: ['ends of PgBouncer', 'commits in doubt', 'replays'],
  pauseMs: 800,
  strike: async ({ pooler, proxy, random, events }) => {
    try {
      if (random() < 0.7) {
        const before = proxy.cuts;
        // The answers to the other commits are held back, until PgBouncer is gone.
        proxy.cutAt(/^COMMIT/, 'after', 'hang', Math.floor(random() * 3));
        for (let waits = 0; proxy.cuts === before && waits < 200; waits++) await pause(10);
        pooler.kill('SIGKILL');
      } else {
        pooler.kill('SIGINT');
        for (let waits = 0; waits < 100 && !pooler.hasEnded(); waits++) await pause(10);
        pooler.kill('SIGKILL');
      }
      await pooler.ended();
      events.add('ends of PgBouncer');
      await pause(random() * 300);
    } finally {
      proxy.up();
      await pooler.start();
    }
  },
};
