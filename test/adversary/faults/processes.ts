import { setTimeout as pause } from 'node:timers/promises';
import type { ServerSlot } from '../server/server-slot.js';
import type { Arena, Fault } from './fault.js';

const both = ['sqlite', 'postgres'] as const;

const anyServer = ({ servers, random }: Arena) =>
  servers[Math.floor(random() * servers.length)] as ServerSlot;

/** No fault: the load alone, with its duplicates, hedges and disconnects. */
export const duplicates: Fault = {
  title: 'duplicates and disconnects only',
  engines: both,
  leavesLeases: true,
  requires: ['replays', 'KEY_REUSED'],
  pauseMs: 200,
  strike: async () => {},
};

/** Kills a server and waits until it serves again. */
export const kill: Fault = {
  title: 'kill -9 of a server',
  engines: both,
  leavesLeases: true,
  requires: ['kills', 'lost answers', 'replays', 'takeovers'],
  pauseMs: 600,
  strike: async (arena) => {
    const server = anyServer(arena);
    server.kill();
    arena.events.add('kills');
    await pause(50);
    await server.serving();
  },
};

/** Stops a server for longer than its leases. The other server takes over meanwhile. */
export const stopped: Fault = {
  title: 'SIGSTOP past the lease, then SIGCONT',
  engines: both,
  requires: ['pauses', 'takeovers', 'replays'],
  pauseMs: 500,
  strike: async (arena) => {
    const server = anyServer(arena);
    server.signal('SIGSTOP');
    try {
      await pause(arena.leaseMs * (1.2 + arena.random()));
    } finally {
      server.signal('SIGCONT');
    }
    arena.events.add('pauses');
  },
};
