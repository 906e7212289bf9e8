import test from 'ava';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { seededRandom } from '../helpers/faults/seeded-random.js';
import type { Engine } from './engines.js';
import { cancelled, terminated } from './faults/backends.js';
import { combined } from './faults/combined.js';
import type { Fault } from './faults/fault.js';
import { cutAtCommit } from './faults/network.js';
import { expiredLeases } from './faults/postgres-state.js';
import { kill, stopped } from './faults/processes.js';
import { lockedFile } from './faults/sqlite-state.js';
import { inspectMachine } from './machine.js';
import { runRound } from './round/round.js';

/** The rounds of `npm test`. `npm run adversary` runs longer rounds, with more faults. */
const rounds: readonly (readonly [Engine, Fault])[] = [
  ['sqlite', combined('kills, pauses and a locked file', [kill, stopped, lockedFile])],
  [
    'postgres',
    combined('kills, cancelled and terminated backends, cuts and expired leases', [
      ...[kill, cancelled, cancelled, terminated, cutAtCommit, cutAtCommit, cutAtCommit, expiredLeases],
    ]),
  ],
];

for (const [engine, fault] of rounds) {
  test(`${engine}: ${fault.title} break no invariant, with TRANSACTION and with LEASE`, async (t) => {
    t.timeout(180_000);
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
    t.log(`SEED=${seed}`);
    const postgresUrl = engine === 'postgres' ? { postgresUrl: await freshDatabase(t) } : {};
    const plan = { engine, fault, machine: inspectMachine(), random: seededRandom(seed), ...postgresUrl };
    const { violations, missing, events } = await runRound(plan, { minMs: 2_000, maxMs: 60_000 });
    t.deepEqual(violations, []);
    t.deepEqual(missing, [], 'every fault has struck, and has shown what it can break');
    t.log(events);
  });
}
