import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { freshFolder } from '../helpers/databases/engines.js';
import { type LedgerMethod, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { stopSteadyClock } from '../helpers/waiting/stopped-clock.js';

/** Sends `count` calls that wait together for the writer. Resolves to the number of COMMITs. */
async function commitsOf(t: ExecutionContext, method: LedgerMethod, count: number, groupLimit: number) {
  const sent: string[] = [];
  const path = join(await freshFolder(t), 'test.db');
  const handle = new Sqlite(path, { verbose: (text) => sent.push(String(text)) });
  t.teardown(() => void handle.close());
  const opened = await openSqlite({ database: handle, groupLimit });
  t.teardown(opened.close);
  const [scoped, holding] = [new Barrier(), new Barrier()];
  scoped.open();
  const scope = () => scoped.pass().then(() => 'alice');
  const data = { engine: 'sqlite', url: '', open: async () => opened } as const;
  const ledger = await openLedger(t, data, { opened, guard: { scope } });
  const replies = Array.from({ length: count }, (_, i) => i);
  stopSteadyClock(t);
  const holder = ledger.database.transaction(() => holding.pass());
  await holding.reached();
  const calls = replies.map((i) => ledger.ask(method, `key-${i}`, `${i}`));
  await scoped.reached(count);
  await nextTurn();
  sent.length = 0;
  holding.open();
  await holder;
  t.true((await Promise.all(calls)).every(({ code }) => code === status.OK));
  t.is((await ledger.effects()).length, count);
  return sent.filter((text) => text === 'COMMIT').length;
}

// The transaction that holds the writer is one more unit.
test.serial('32 TRANSACTION calls that wait together share one commit', async (t) => {
  t.is(await commitsOf(t, 'append', 32, 256), 1);
});

test.serial('32 TRANSACTION calls have one commit each if a group has one unit', async (t) => {
  t.is(await commitsOf(t, 'append', 32, 1), 33);
});

test.serial('units beyond a full group commit with the next group', async (t) => {
  t.is(await commitsOf(t, 'append', 31, 8), 4);
});

test.serial(
  'one LEASE call commits twice, and 32 LEASE calls that wait together share those commits',
  async (t) => {
    t.is(await commitsOf(t, 'transfer', 1, 1), 3);
    t.true((await commitsOf(t, 'transfer', 32, 256)) <= 3);
  },
);
