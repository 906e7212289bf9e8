import { setTimeout as pause } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import type { Fault } from './fault.js';

/** Another process holds the write lock of the file, also past the lease. */
export const lockedFile: Fault = {
  title: 'file locked by another process',
  engines: ['sqlite'],
  requires: ['file locks', 'replays'],
  pauseMs: 600,
  strike: async ({ file, random, events }) => {
    const other = new Sqlite(file, { timeout: 0 });
    try {
      for (let tries = 0; ; tries++) {
        try {
          other.exec('BEGIN IMMEDIATE');
          break;
        } catch (error) {
          if (tries > 500) throw error;
          await pause(5);
        }
      }
      events.add('file locks');
      await pause(random() * 2_000);
      other.exec('COMMIT');
    } finally {
      other.close();
    }
  },
};
