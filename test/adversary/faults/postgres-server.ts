import { spawn } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { poll } from '../../helpers/waiting/poll.js';
import type { Arena, Fault } from './fault.js';

/** Stops Postgres at once, as a crash does, and starts it again. */
export const crashed: Fault = {
  title: 'Postgres stopped immediately and restarted',
  engines: ['postgres'],
  cluster: {},
  requires: ['crashes of Postgres', 'STORE_UNAVAILABLE', 'replays'],
  pauseMs: 1_000,
  strike: async ({ cluster, random, events }) => {
    await cluster.crash();
    events.add('crashes of Postgres');
    await pause(random() * 700);
    await cluster.start();
  },
};

/** Fills the disk of the database, then frees it. */
export const diskFull: Fault = {
  title: 'disk full',
  engines: ['sqlite', 'postgres'],
  lacks: ({ isRoot }) => (isRoot ? undefined : 'root, to mount a small disk'),
  diskMb: 160,
  requires: ['full disks', 'STORE_UNAVAILABLE', 'replays'],
  pauseMs: 800,
  strike: async (arena) => {
    const filler = join(arena.folder, 'filler');
    await fill(filler, arena.folder);
    arena.events.add('full disks');
    try {
      await pause(300 + arena.random() * 1_200);
    } finally {
      await rm(filler, { force: true });
      await restored(arena);
    }
  },
};

async function fill(filler: string, folder: string): Promise<void> {
  const { bavail, bsize } = statfsSync(folder);
  const bytes = bavail * bsize;
  await writeFile(filler, Buffer.alloc(bytes)).catch(() => {});
}

/** A Postgres that cannot recover while its disk is full ends itself. It is started again, as a supervisor does. */
async function restored({ engine, cluster }: Arena): Promise<void> {
  if (engine !== 'postgres') return;
  await pause(200);
  await poll('Postgres runs again', async () => {
    try {
      await cluster.start();
      return true;
    } catch {
      await pause(200);
      return false;
    }
  });
}

/** Makes fsync fail with EIO in the processes that write the database, by strace. */
export const failingFsync: Fault = {
  title: 'EIO on fsync (strace)',
  engines: ['sqlite', 'postgres'],
  lacks: ({ isRoot, hasStrace }) => (isRoot && hasStrace ? undefined : 'strace, and root to use it'),
  cluster: {},
  requires: ['failing disks', 'replays'],
  pauseMs: 800,
  strike: async (arena) => {
    const pids = arena.engine === 'sqlite' ? arena.servers.map(({ pid }) => pid) : await backendsOf(arena);
    const inject = 'fsync,fdatasync:error=EIO:when=2+3';
    const args = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync', '-e', `inject=${inject}`];
    const strace = spawn('strace', [...args, ...pids.flatMap((pid) => ['-p', String(pid)])], {
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => strace.once('close', resolve));
    arena.events.add('failing disks');
    try {
      await Promise.race([pause(300 + arena.random() * 700), ended]);
    } finally {
      strace.kill('SIGINT');
      await ended;
      await restored(arena);
    }
  },
};

async function backendsOf({ admin }: Arena): Promise<number[]> {
  const rows = await admin.query(
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
  );
  return rows.map(({ pid }) => Number(pid));
}
