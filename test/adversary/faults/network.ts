import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../helpers/faults/seeded-random.js';
import { BalancedChoices } from '../../helpers/faults/seeded-random.js';
import type { Fault } from './fault.js';

type Cut = 'before' | 'after' | 'after, then silence' | 'everything' | 'held back';

const choices = new WeakMap<Random, BalancedChoices<Cut>>();

function nextCut(random: Random): Cut {
  const known =
    choices.get(random) ??
    new BalancedChoices<Cut>(random, {
      before: 2,
      after: 6,
      'after, then silence': 1,
      everything: 1,
      'held back': 1,
    });
  choices.set(random, known);
  return known.next();
}

/** Cuts a connection at a COMMIT, before Postgres gets it or after its result, by a proxy that reads the protocol. */
export const cutAtCommit: Fault = {
  title: 'connections cut before and after COMMIT',
  engines: ['postgres'],
  viaProxy: true,
  requires: ['cuts', 'commits in doubt', 'replays'],
  pauseMs: 60,
  strike: async ({ proxy, random, events }) => {
    const cut = nextCut(random);
    const before = proxy.cuts;
    if (cut === 'everything') {
      proxy.down();
      await pause(random() * 300);
      proxy.up();
      events.add('cuts');
      return;
    }
    if (cut === 'held back') {
      proxy.hang();
      await pause(random() * 500);
      proxy.up();
      events.add('held back');
      return;
    }
    const then = cut === 'after, then silence' ? 'hang' : undefined;
    const skipped = Math.floor(random() * 3);
    proxy.cutAt(/^COMMIT/, cut === 'before' ? 'before' : 'after', then, skipped);
    for (let waits = 0; proxy.cuts === before && waits < 100; waits++) await pause(10);
    if (then) {
      await pause(random() * 300);
      proxy.up();
    }
    events.add('cuts', proxy.cuts - before);
  },
};
