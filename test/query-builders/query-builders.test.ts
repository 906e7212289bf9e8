import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type Database, UnitOfWorkError } from 'grpc-replay-guard/database';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { methods, onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { type Account, type Accounts, accountsTable, builders } from './builders.js';

const dataOf = emptiedData(test);
const raw = { any: true } as const;

/** The ids that are committed, as another handle reads them. */
const committed = async (database: Database) =>
  (await database.query<{ id: bigint }>('SELECT id FROM accounts ORDER BY id')).map(({ id }) => Number(id));

/** The error, or the error that the builder has wrapped. */
function driverErrorOf(error: unknown): { readonly code?: unknown } {
  const { cause } = error as Error;
  return (cause instanceof Error && 'code' in cause ? cause : error) as { code?: unknown };
}

for (const builder of builders) {
  for (const engine of engines) {
    const name = `${builder.name} on ${engine}`;

    const open = async (t: ExecutionContext) => {
      const data = await dataOf(t, engine);
      const { database } = await data.open({ lockTimeoutMs: 20_000, maxConnections: 4 });
      await database.migrate('accounts', [accountsTable]);
      return { data, database, accounts: builder.open(database), other: (await data.open()).database };
    };

    /** A server whose handlers run `work` with one instance of the builder for all calls. */
    const serve = async (
      t: ExecutionContext,
      work: (accounts: Accounts, account: string) => Promise<unknown>,
    ) => {
      const data = await dataOf(t, engine);
      const opened = await data.open({ maxConnections: 6, lockTimeoutMs: 20_000 });
      await opened.database.migrate('accounts', [accountsTable]);
      const accounts = builder.open(opened.database);
      const ledger = await openLedger(t, data, {
        opened,
        handlers: () =>
          onBoth((account, callback) =>
            work(accounts, account).then(
              () => callback(null, {}),
              (error) => callback(error),
            ),
          ),
      });
      return { ledger, accounts, database: opened.database };
    };

    test.serial(
      `${name}: a guarded call commits its writes with the reply, and a retry replays`,
      async (t) => {
        const { ledger, database } = await serve(t, (accounts, id) => accounts.insert(Number(id)));
        for (const [index, method] of methods.entries()) {
          const first = await ledger.ask(method, `key-${method}`, `${index + 1}`);
          t.is(first.code, status.OK, first.details);
          t.true((await ledger.ask(method, `key-${method}`, `${index + 1}`)).replayed);
        }
        t.deepEqual(await committed(database), [1, 2]);
        t.is(ledger.entered, 2);
      },
    );

    test.serial(`${name}: a failure rolls the writes back, whether it is kept or not`, async (t) => {
      let code: number | undefined = status.NOT_FOUND;
      const { ledger, database } = await serve(t, async (accounts, id) => {
        await accounts.insert(Number(id));
        await accounts.transaction((inner) => inner.insert(Number(id) + 1));
        if (code === status.OK) return;
        throw Object.assign(new Error('failed'), code === undefined ? {} : { code });
      });
      for (const method of methods) {
        code = status.NOT_FOUND;
        for (const replayed of [false, true]) {
          const reply = await ledger.ask(method, `kept-${method}`, '1');
          t.deepEqual([reply.code, reply.replayed], [status.NOT_FOUND, replayed]);
        }
        code = undefined;
        t.is((await ledger.ask(method, `free-${method}`, '1')).code, status.UNKNOWN);
        t.deepEqual(await committed(database), []);
      }
      code = status.OK;
      t.is((await ledger.append('free-append', { account: '1' })).code, status.OK);
      t.deepEqual(await committed(database), [1, 2]);
    });

    test.serial(
      `${name}: two simultaneous calls of one instance write in their own units of work`,
      async (t) => {
        const barrier = new Barrier();
        const { ledger, database } = await serve(t, async (accounts, id) => {
          await accounts.insert(Number(id));
          if (id !== '1') return;
          await barrier.pass();
          await accounts.insert(10);
          throw new Error('the first call fails');
        });
        const first = ledger.append('first', { account: '1' });
        await barrier.reached();
        const second = ledger.append('second', { account: '2' });
        // SQLite has one writer, so there the second call waits for the first one.
        if (engine === 'postgres') t.is((await second).code, status.OK);
        barrier.open();
        t.is((await first).code, status.UNKNOWN);
        t.is((await second).code, status.OK);
        t.deepEqual(await committed(database), [2]);
      },
    );

    test.serial(
      `${name}: outside of a call a statement commits on its own, and a transaction as a whole`,
      async (t) => {
        const { accounts, other } = await open(t);
        t.is(await accounts.insert(1), 1);
        t.deepEqual(await committed(other), [1]);
        t.is(
          await accounts.transaction(async (inner) => (await inner.insert(2)) + (await inner.insert(3))),
          2,
        );
        t.deepEqual(await committed(other), [1, 2, 3]);
        const failing = accounts.transaction(async (inner) => {
          await inner.insert(4);
          t.deepEqual(await inner.find([1, 4]), [1, 4], 'a transaction reads its own writes');
          throw new Error('rolled back');
        });
        await t.throwsAsync(failing, { message: 'rolled back' });
        t.deepEqual(await committed(other), [1, 2, 3]);
      },
    );

    test.serial(
      `${name}: a nested transaction rolls back alone, and with the outer transaction`,
      async (t) => {
        const { accounts, database, other } = await open(t);
        const nest = async (outer: Accounts, id: number, fails: boolean) =>
          outer.transaction(async (inner) => {
            await inner.insert(id);
            if (fails) throw new Error(`nested ${id}`);
          });
        await accounts.transaction(async (outer) => {
          await outer.insert(1);
          await t.throwsAsync(nest(outer, 2, true), { message: 'nested 2' });
          await outer.insert(3);
          await nest(outer, 4, false);
          await outer.insert(5);
        });
        t.deepEqual(await committed(other), [1, 3, 4, 5]);
        await t.throwsAsync(
          accounts.transaction(async (outer) => {
            await nest(outer, 6, false);
            throw new Error('outer');
          }),
          { message: 'outer' },
        );
        t.deepEqual(await committed(other), [1, 3, 4, 5]);
        await database.transaction(async () => {
          await accounts.insert(7);
          await t.throwsAsync(nest(accounts, 8, true), { message: 'nested 8' });
          await nest(accounts, 9, false);
        });
        t.deepEqual(await committed(other), [1, 3, 4, 5, 7, 9]);
      },
    );

    test.serial(`${name}: a statement counts the rows that it has written`, async (t) => {
      const { accounts } = await open(t);
      t.is(await accounts.insert(1), 1);
      t.is(await accounts.insert(2), 1);
      t.is(await accounts.rename(1, '!'), 2);
      t.is(await accounts.rename(2, '!'), 1);
      t.is(await accounts.rename(3, '!'), 0);
      t.is(await accounts.remove(1), 1);
      t.is(await accounts.remove(1), 0);
    });

    test.serial(`${name}: RETURNING and SELECT return the values that were written`, async (t) => {
      const { accounts } = await open(t);
      const account = {
        id: 1,
        name: "Grüße, 世界 $1 ? ' \\",
        active: true,
        opened: new Date(Date.UTC(2026, 6, 1, 12, 30, 15, 250)),
        settings: { limit: 5, tags: ['a', null] },
        rate: 0.1,
        photo: Buffer.from([0, 1, 255]),
        balance: 2n ** 63n - 1n,
      };
      const other: Account = { ...account, id: 2, name: 'other', active: false, balance: -(2n ** 53n) - 1n };
      for (const each of [account, other]) {
        const expected = { ...each, balance: builder.balance === 'text' ? `${each.balance}` : each.balance };
        t.deepEqual(await accounts.insertAll(each), expected);
        t.deepEqual(await accounts.read(each.id), expected);
      }
      await accounts.insert(3);
      const empty = { active: null, opened: null, settings: null, rate: null, photo: null, balance: null };
      t.deepEqual(await accounts.read(3), { id: 3, name: 'name 3', ...empty });
      t.is(await accounts.read(4), undefined);
    });

    test.serial(
      `${name}: parallel statements and transactions of one call are in its unit of work`,
      async (t) => {
        let fails = true;
        const { ledger, database } = await serve(t, async (accounts, first) => {
          const ids = Array.from({ length: 10 }, (_, index) => Number(first) + index);
          const results = await Promise.all([
            ...ids.map((id) => accounts.insert(id)),
            accounts.transaction((inner) => inner.insert(Number(first) + 10)),
            accounts
              .transaction(async (inner) => {
                await inner.insert(Number(first) + 11);
                return Promise.reject(new Error('nested'));
              })
              .catch(() => 1),
            accounts.insert(Number(first) + 12),
          ]);
          t.is(results.length, 13);
          t.deepEqual(await accounts.find(ids), ids);
          if (fails) throw Object.assign(new Error('kept'), { code: status.NOT_FOUND });
        });
        for (const method of methods)
          t.is((await ledger.ask(method, `kept-${method}`, '1')).code, status.NOT_FOUND);
        t.deepEqual(await committed(database), []);
        fails = false;
        t.is((await ledger.append('ok', { account: '1' })).code, status.OK);
        t.deepEqual(await committed(database), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
      },
    );

    test.serial(
      `${name}: a unique violation keeps its code, and its transaction cannot commit`,
      async (t) => {
        const { accounts, other } = await open(t);
        const code = engine === 'sqlite' ? 'SQLITE_CONSTRAINT_UNIQUE' : '23505';
        await accounts.insert(1, 'same');
        const error = await t.throwsAsync(accounts.insert(2, 'same'), raw);
        t.is(driverErrorOf(error).code, code);
        const swallowing = accounts.transaction(async (inner) => {
          await inner.insert(3);
          await t.throwsAsync(inner.insert(4, 'same'), raw);
        });
        t.true((await t.throwsAsync(swallowing, raw)) instanceof UnitOfWorkError);
        await accounts.transaction(async (outer) => {
          await outer.insert(5);
          const nested = outer.transaction((inner) => inner.insert(6, 'same'));
          t.is(driverErrorOf(await t.throwsAsync(nested, raw)).code, code);
          await outer.insert(7);
        });
        t.deepEqual(await committed(other), [1, 5, 7]);
      },
    );

    test.serial(
      `${name}: a statement that controls transactions does not change the transaction of the call`,
      async (t) => {
        const { ledger, database } = await serve(t, async (accounts) => {
          await accounts.insert(1);
          const texts = [
            'COMMIT',
            'commit;',
            'END',
            'ROLLBACK',
            'COMMIT AND CHAIN',
            'SET TRANSACTION READ ONLY',
          ];
          // A builder takes another connection for each statement, so these could begin nothing.
          for (const text of [...texts, 'BEGIN', 'START TRANSACTION', 'SAVEPOINT a', 'RELEASE a'])
            await t.throwsAsync(accounts.send(text), raw, text);
          await accounts.insert(2);
          throw Object.assign(new Error('kept'), { code: status.NOT_FOUND });
        });
        for (const method of methods) t.is((await ledger.ask(method, method)).code, status.NOT_FOUND);
        t.deepEqual(await committed(database), []);
      },
    );

    test.serial(`${name}: many different texts leave at most 510 prepared statements`, async (t) => {
      const { accounts, database } = await open(t);
      await accounts.insert(3);
      // One builder is enough to show the limit, because the handle prepares the statements of all.
      const longest = builder.name === 'pg' && engine === 'postgres' ? 520 : 30;
      await database.transaction(async () => {
        for (let length = 1; length <= longest; length++) {
          const ids = Array.from({ length }, (_, index) => index);
          t.is((await accounts.find(ids)).length, length > 3 ? 1 : 0);
        }
        if (engine === 'sqlite') return;
        const [row] = await database.query<{ count: bigint }>('SELECT count(*) FROM pg_prepared_statements');
        t.true(Number(row?.count) <= 510, `${row?.count} statements`);
      });
    });

    if (builder.name !== 'drizzle') {
      test.serial(`${name}: streams are refused`, async (t) => {
        const { accounts, other } = await open(t);
        await t.throwsAsync(accounts.stream?.() as Promise<unknown>, {
          message: /in pages/,
          instanceOf: TypeError,
        });
        await accounts.insert(1);
        t.deepEqual(await committed(other), [1]);
      });
    }

    if (builder.hasContext) {
      test.serial(
        `${name}: transactions of simultaneous units of work stay in their own units`,
        async (t) => {
          const { accounts, database, other } = await open(t);
          const insert = (id: number) =>
            database.query('INSERT INTO accounts (id, name) VALUES ($1, $2)', [id, `${id}`]);
          const work = async (first: number, fails: boolean, nestedFails: boolean) => {
            await accounts.insert(first);
            const nested = accounts.transaction(async (inner) => {
              await inner.insert(first + 1);
              await Promise.all([insert(first + 2), accounts.insert(first + 3)]);
              if (nestedFails) throw new Error('nested');
            });
            await nested.catch(() => {});
            await insert(first + 4);
            if (fails) throw new Error('unit');
          };
          const units = Array.from({ length: 24 }, (_, index) => ({
            first: 10 * index,
            fails: index % 4 === 0,
            nestedFails: index % 3 === 0,
          }));
          await Promise.allSettled(
            units.map(({ first, fails, nestedFails }) =>
              database.transaction(() => work(first, fails, nestedFails)),
            ),
          );
          const expected = units
            .filter(({ fails }) => !fails)
            .flatMap(({ first, nestedFails }) =>
              (nestedFails ? [0, 4] : [0, 1, 2, 3, 4]).map((id) => first + id),
            );
          t.deepEqual(await committed(other), expected);
        },
      );

      test.serial(
        `${name}: inside the work of a transaction, statements of the handle and of the instance join it`,
        async (t) => {
          const { accounts, database, other } = await open(t);
          const insert = (id: number) =>
            database.query('INSERT INTO accounts (id, name) VALUES ($1, $2)', [id, `${id}`]);
          for (const around of [undefined, database]) {
            const run = async () => {
              const failing = accounts.transaction(async (inner) => {
                await inner.insert(1);
                await accounts.insert(2);
                await insert(3);
                await Promise.resolve();
                await inner.transaction((nested) =>
                  Promise.all([nested.insert(4), accounts.insert(5), insert(6)]),
                );
                await insert(7);
                throw new Error('rolled back');
              });
              await t.throwsAsync(failing, { message: 'rolled back' });
              await insert(8);
              await accounts.remove(8);
            };
            await (around ? around.transaction(run) : run());
            t.deepEqual(await committed(other), []);
          }
          await accounts.transaction(async (inner) => {
            await inner.insert(1);
            await t.throwsAsync(
              inner.transaction(async () => {
                await insert(2);
                throw new Error('nested');
              }),
            );
            await insert(3);
            await inner.transaction(() => insert(4));
          });
          t.deepEqual(await committed(other), [1, 3, 4]);
        },
      );
    }
  }
}
