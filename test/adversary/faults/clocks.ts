import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Machine } from '../machine.js';
import type { Arena, Fault } from './fault.js';

const lacks = ({ faketime }: Machine) => (faketime ? undefined : 'libfaketime');

/** The clock moves by up to this many seconds, in both directions. It stays far from the retention of the keys. */
const MAX_SECONDS = 3_600;

async function moveClock({ clockFile, random, events }: Arena): Promise<void> {
  const seconds = Math.round((random() * 2 - 1) * MAX_SECONDS);
  writeFileSync(clockFile, `${seconds < 0 ? '' : '+'}${seconds}\n`);
  events.add('moved clocks');
  await pause(200 + random() * 1_500);
  // Half of the jumps are followed by another one, without the right time in between.
  if (random() < 0.5) writeFileSync(clockFile, '+0\n');
}

function restore({ clockFile }: Arena): void {
  writeFileSync(clockFile, '+0\n');
}

/** The clocks of all servers jump by up to an hour. On SQLite it is the clock of the store too. */
export const serverClocks: Fault = {
  title: 'clocks of the servers moved by up to an hour',
  engines: ['sqlite', 'postgres'],
  lacks,
  movesClockOf: 'servers',
  delaysPurge: true,
  requires: ['moved clocks', 'replays'],
  pauseMs: 500,
  strike: moveClock,
  restore,
};

/** The clock of Postgres jumps by up to an hour. */
export const databaseClock: Fault = {
  title: 'clock of Postgres moved by up to an hour',
  engines: ['postgres'],
  lacks,
  movesClockOf: 'database',
  requires: ['moved clocks', 'takeovers', 'replays'],
  pauseMs: 500,
  strike: moveClock,
  restore,
};
