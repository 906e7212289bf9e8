import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { freshFolder } from '../helpers/databases/engines.js';
import { type LedgerMethod, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const real = performance.now.bind(performance);
test.afterEach.always(() => {
  performance.now = real;
});

/** How many COMMITs `count` calls need that wait together for the writer, and how many effects they leave. */
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
  // Time stands still, so that no group is closed for having been open too long.
  performance.now = () => 1;
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

// The transaction that held the writer is a unit like the others, one more.
test.serial('32 TRANSACTION calls that wait together share one commit', async (t) => {
  t.is(await commitsOf(t, 'append', 32, 256), 1);
});

test.serial('32 TRANSACTION calls commit one by one where a group has one unit', async (t) => {
  t.is(await commitsOf(t, 'append', 32, 1), 33);
});

test.serial('a full group leaves the others to the next', async (t) => {
  t.is(await commitsOf(t, 'append', 31, 8), 4);
});

test.serial('one LEASE call commits twice, 32 that wait together no more than that', async (t) => {
  t.is(await commitsOf(t, 'transfer', 1, 1), 3);
  t.true((await commitsOf(t, 'transfer', 32, 256)) <= 3);
});
