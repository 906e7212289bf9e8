import { once } from 'node:events';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { engines, openEngine } from '../helpers/databases/engines.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const failures = [new Error('thrown'), new Error('rejected'), new Error('of a thenable')];
const failing: (() => unknown)[] = [
  () => {
    throw failures[0];
  },
  async () => {
    throw failures[1];
  },
  () => ({
    // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
    then: (_resolve: unknown, reject: (error: unknown) => void) => reject(failures[2]),
  }),
];

const byMessage = (one: unknown, other: unknown) => String(one).localeCompare(String(other));

for (const engine of engines) {
  for (const method of methods) {
    test(`${engine} ${method}: an afterCommit action that fails is reported, and its call is answered OK`, async (t) => {
      const done: string[] = [];
      const ledger = await openLedger(t, engine, {
        handlers: (database) =>
          onBoth(async (account, callback) => {
            await writeEffect(database, account);
            for (const action of failing) database.afterCommit(action);
            database.afterCommit(() => done.push(account));
            callback(null, { entryId: account });
          }),
      });
      t.is((await ledger.ask(method, 'one', 'one')).code, status.OK);
      await poll('the failures', () => ledger.outcomes.afterCommitFailures.length === failures.length);
      t.deepEqual(ledger.outcomes.afterCommitFailures.toSorted(byMessage), failures.toSorted(byMessage));
      t.is((await ledger.ask(method, 'one', 'one')).code, status.OK);
      t.is((await ledger.ask(method, 'two', 'two')).code, status.OK);
      t.deepEqual(done, ['one', 'two']);
      t.deepEqual(await ledger.effects(), ['one', 'two']);
      t.deepEqual(ledger.outcomes.failures, []);
    });
  }

  test.serial(
    `${engine}: outside a guarded call, a failed afterCommit action causes a process warning`,
    async (t) => {
      const { database } = await openEngine(t, engine);
      await database.query('CREATE TABLE notes (id BIGINT)');
      for (const [index, action] of failing.entries()) {
        const warned = once(process, 'warning');
        await database.transaction(async () => {
          await database.query('INSERT INTO notes VALUES ($1)', [index]);
          database.afterCommit(action);
        });
        const [warning] = await warned;
        t.is(warning.code, 'REPLAY_GUARD_AFTER_COMMIT_FAILED');
        t.regex(warning.detail, /^Error: withheld.*\n {4}at /);
        t.false(warning.detail.includes(failures[index]?.message));
      }
      t.is((await database.query('SELECT id FROM notes')).length, failing.length);
    },
  );
}
