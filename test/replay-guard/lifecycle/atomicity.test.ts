import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { openTransactions } from '../../helpers/databases/open-transactions.js';
import { methods, onBoth, openLedger, writeEffect } from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const emptied = emptiedData(test);
const engine = { unitLimitMs: 60_000 };

/** Reads the committed records and effects through the database handle of a second server. */
async function committed(other: Database) {
  const records = await other.query<{ state: bigint }>('SELECT state FROM replay_guard_records');
  const effects = await other.query('SELECT account FROM effects');
  return { records: records.map(({ state }) => Number(state)), effects: effects.length };
}

/** Whether a transaction is open in the database; on SQLite, whether a connection holds the write lock. */
async function isTransactionOpen(other: Database, name: string): Promise<boolean> {
  if (name === 'sqlite') {
    const free = other.transaction(() => other.query('DELETE FROM effects WHERE account = $1', ['nobody']));
    return free.then(
      () => false,
      () => true,
    );
  }
  return (await openTransactions(other)) > 0;
}

for (const name of engines) {
  for (const method of methods) {
    test.serial(
      `${name}, ${method}: the effect and the record of a call are committed together`,
      async (t) => {
        const data = await emptied(t, name);
        const [read, written] = [new Barrier(), new Barrier()];
        const ledger = await openLedger(t, data, {
          engine,
          handlers: (database) =>
            onBoth(async (account, callback) => {
              await database.query('SELECT account FROM effects');
              await read.pass();
              await writeEffect(database, account);
              await written.pass();
              callback(null, {});
            }),
        });
        const { database: other } = await data.open();
        const call = ledger.ask(method, 'key', 'alice');
        await read.reached();
        // LEASE: the claim commits on its own, and a read holds no lock.
        const started = method === 'append' ? [] : [-2];
        t.deepEqual(await committed(other), { records: started, effects: 0 });
        t.is(await isTransactionOpen(other, name), method === 'append');
        read.open();
        await written.reached();
        t.deepEqual(await committed(other), { records: started, effects: 0 });
        t.true(await isTransactionOpen(other, name));
        written.open();
        t.is((await call).code, status.OK);
        t.deepEqual(await committed(other), { records: [1], effects: 1 });
        t.false(await isTransactionOpen(other, name));
      },
    );

    test.serial(
      `${name}, ${method}: concurrent nested transactions run one after another, and a failed transaction rolls back alone`,
      async (t) => {
        const ledger = await openLedger(t, await emptied(t, name), {
          handlers: (database) =>
            onBoth(async (_account, callback) => {
              const nested = (account: string, fails: boolean) =>
                database.transaction(async () => {
                  await writeEffect(database, account);
                  await database.transaction(() => writeEffect(database, `${account} deep`));
                  if (fails) throw new Error('on purpose');
                });
              await Promise.allSettled([nested('a', false), nested('b', true), nested('c', false)]);
              await writeEffect(database, 'd');
              callback(null, {});
            }),
        });
        t.is((await ledger.ask(method, 'key')).code, status.OK);
        t.deepEqual(await ledger.effects(), ['a', 'a deep', 'c', 'c deep', 'd']);
      },
    );
  }
}
